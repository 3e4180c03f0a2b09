// Dialogs: the browser's own, which keep the focus and close with Escape.

import { button, h } from "./dom.js";

/** Opens a dialog that is gone when it is closed. Children are made by fill(close). */
export function open(title, fill) {
    const dialog = h("dialog", { class: "pf-v6-c-modal-box virbr-dialog", "aria-labelledby": "dialog-title" });
    dialog.append(
        h("header", { class: "pf-v6-c-modal-box__header" },
          h("h2", { class: "pf-v6-c-modal-box__title", id: "dialog-title" }, title)),
        ...fill(result => { dialog.returnValue = result ?? ""; dialog.close(); }));
    document.body.append(dialog);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
    return dialog;
}

/** Asks whether to do something that guests notice. Resolves to true or false. */
export function ask(title, verb, text) {
    return new Promise(resolve => {
        open(title, close => [
            h("div", { class: "pf-v6-c-modal-box__body" }, h("p", {}, text)),
            h("footer", { class: "pf-v6-c-modal-box__footer" },
              button(verb, "danger", () => close("yes")), button("Cancel", "link", () => close(), { autofocus: true })),
        ]).addEventListener("close", event => resolve(event.target.returnValue === "yes"));
    });
}
