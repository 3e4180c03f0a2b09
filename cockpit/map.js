// The drawing of `virbr map --svg`, rebuilt of elements and attributes that are known to be
// harmless, in a tree of its own so that its style stays there.

import { h, section } from "./dom.js";
import { dark, whenThemeChanges } from "./theme.js";
import { virbr } from "./virbr.js";

const space = "http://www.w3.org/2000/svg";
const elements = new Set(["svg", "g", "title", "text", "rect", "path", "defs", "marker"]);
const attributes = new Set(["viewBox", "width", "height", "role", "aria-label", "tabindex", "class", "id", "x", "y", "rx", "d", "text-anchor",
    "marker-start", "marker-end", "refX", "refY", "markerUnits", "markerWidth", "markerHeight", "orient"]);

function copy(from) {
    const made = document.createElementNS(space, from.localName);
    for (const { name, value } of from.attributes) {
        if (attributes.has(name))
            made.setAttribute(name, value);
    }
    for (const child of from.childNodes) {
        if (child.nodeType === Node.TEXT_NODE)
            made.append(child.data);
        else if (child.nodeType === Node.ELEMENT_NODE && child.namespaceURI === space && elements.has(child.localName))
            made.append(copy(child));
    }
    return made;
}

/** The drawing's own style, whose dark half follows the page and not the system. */
function styleOf(drawing) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync((drawing.querySelector("style")?.textContent ?? "") + "svg{background:none!important}");
    for (const rule of sheet.cssRules) {
        if (rule instanceof CSSMediaRule && rule.conditionText.includes("prefers-color-scheme"))
            rule.media.mediaText = dark() ? "all" : "not all";
    }
    return sheet;
}

function draw(text) {
    const drawing = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    if (drawing.localName !== "svg" || drawing.namespaceURI !== space)
        throw new Error("virbr map printed no drawing");
    const host = h("div");
    const shadow = host.attachShadow({ mode: "open" });
    shadow.append(copy(drawing));
    const paint = () => { shadow.adoptedStyleSheets = [styleOf(drawing)]; };
    paint();
    whenThemeChanges(paint);
    return host;
}

export const view = {
    load: () => virbr(["map", "--svg"]),
    draw: text => section("What talks to what", undefined,
                          h("div", { class: "virbr-map", tabindex: "0", role: "region", "aria-label": "Map of the virtual networks", "data-key": "map" }, draw(text))),
};
