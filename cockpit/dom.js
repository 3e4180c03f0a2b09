// Elements are made of values, never of markup in strings: names that guests and other
// programs choose are text and nothing else.

/** Makes an element. Attributes that are false or undefined are left out; those that begin
 *  with "on" are listeners. */
export function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (value === undefined || value === null || value === false)
            continue;
        if (name.startsWith("on"))
            element.addEventListener(name.slice(2), value);
        else
            element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter(child => child !== undefined && child !== null && child !== false));
    return element;
}

/** Replaces what is in an element. Focus stays on what has the same data-key. */
export function replace(parent, ...children) {
    const focused = parent.contains(document.activeElement) && document.activeElement.dataset.key;
    parent.replaceChildren(...children.flat(Infinity).filter(Boolean));
    if (focused)
        parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

/** A button. kind is one of PatternFly's: "primary", "secondary", "link", "danger". */
export function button(text, kind, onclick, attributes = {}) {
    return h("button", { type: "button", class: `pf-v6-c-button pf-m-${kind}`, onclick, ...attributes },
             h("span", { class: "pf-v6-c-button__text" }, text));
}

const colours = { ok: "success", problem: "danger", warning: "warning", hint: "info", running: "info" };

/** A word with the colour of what it means: a network's health, a finding's severity. */
export function label(word, text = word) {
    return h("span", { class: `pf-v6-c-label pf-m-filled pf-m-${colours[word] ?? "outline"}` },
             h("span", { class: "pf-v6-c-label__content" }, h("span", { class: "pf-v6-c-label__text" }, text)));
}

const words = { danger: "Error", warning: "Warning", success: "Done", info: "Note" };

/** A notice in the page. kind: "danger", "warning", "success", "info". */
export function alert(kind, title, ...more) {
    return h("div", { class: `pf-v6-c-alert pf-m-inline pf-m-${kind}` },
             h("div", { class: "pf-v6-c-alert__icon virbr-mark", "aria-hidden": "true" }, kind === "success" ? "✓" : kind === "info" ? "i" : "!"),
             h("p", { class: "pf-v6-c-alert__title" }, h("span", { class: "pf-v6-screen-reader" }, words[kind] + ": "), title),
             more.length > 0 && h("div", { class: "pf-v6-c-alert__description" }, more));
}

/** The text of an error, with the line breaks that it has. */
export const errorText = error => h("p", { class: "virbr-said" }, error.message);

/** A table. Columns are names, rows arrays of cells; on a small screen each row is a block
 *  in which every cell has its column's name. */
export function table(caption, columns, rows) {
    const head = columns.map(column => h("th", { class: "pf-v6-c-table__th", scope: "col", role: "columnheader" },
                                         column === "" ? h("span", { class: "pf-v6-screen-reader" }, "Actions") : column));
    const cell = (content, at) => at === 0
        ? h("th", { class: "pf-v6-c-table__th", scope: "row", role: "rowheader", "data-label": columns[at] }, content)
        : h("td", { class: "pf-v6-c-table__td", role: "cell", "data-label": columns[at] }, content);
    // Roles are said because the layout of small screens takes a table's own away.
    const grid = columns.length > 6 ? "pf-m-grid-lg" : "pf-m-grid-md";
    return h("table", { class: `pf-v6-c-table ${grid} pf-m-compact`, role: "table", "aria-label": caption },
             h("thead", { class: "pf-v6-c-table__thead", role: "rowgroup" }, h("tr", { class: "pf-v6-c-table__tr", role: "row" }, head)),
             h("tbody", { class: "pf-v6-c-table__tbody", role: "rowgroup" },
               rows.map(row => h("tr", { class: "pf-v6-c-table__tr", role: "row" }, row.map(cell)))));
}

/** A part of a page with a title, and what can be done beside it. */
export function section(title, actions, ...children) {
    return h("section", { class: "virbr-section" },
             h("div", { class: "virbr-bar" }, h("h2", { class: "pf-v6-c-title pf-m-lg" }, title), actions),
             children);
}

/** What stands where there is nothing to show. */
export const nothing = text => h("p", { class: "virbr-nothing" }, text);
