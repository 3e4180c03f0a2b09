// Changes that undo themselves unless they are confirmed in time: the page counts down.

import { alert, button, h } from "./dom.js";
import { virbr } from "./virbr.js";

const second = 1000; // milliseconds

/** Unconfirmed shows a notice for each network with such a change. */
export class Unconfirmed {
    shown = new Map(); // networks, with the element that counts and when the time is up
    expected = new Map(); // networks that this page has changed: when, by the browser's own clock

    /** show(network, notice) shows one, or none; act does something; over looks again. */
    constructor({ show, act, over }) {
        Object.assign(this, { show, act, over });
        window.setInterval(() => this.count(), second);
    }

    /** expect is told of a change that this page makes. */
    expect(network, seconds) { this.expected.set(network, Date.now() + seconds * second) }

    /** see shows what is not confirmed of a host's networks. */
    see(graph) {
        const waiting = new Map(graph.networks.filter(network => network.confirm_until).map(network => [network.name, Date.parse(network.confirm_until)]));
        for (const network of this.shown.keys()) {
            if (!waiting.has(network)) {
                this.shown.delete(network);
                this.expected.delete(network);
                this.show(network, null);
            }
        }
        for (const [network, until] of waiting) {
            if (!this.shown.has(network))
                this.add(network, this.expected.get(network) ?? until);
        }
    }

    add(network, until) {
        const left = h("span", { role: "timer" });
        this.shown.set(network, { left, until });
        const run = (what, command) => this.act(what, () => virbr([command, "--", network]));
        this.show(network, alert("warning", `The last change of ${network} is undone unless you confirm it`, h("p", {}, left), h("p", { class: "virbr-line" },
            button("Keep the change", "primary", () => run(`Keeping the change of ${network}`, "confirm"), { "data-key": `keep ${network}` }),
            button("Undo it now", "secondary", () => run(`Undoing the change of ${network}`, "rollback"), { "data-key": `undo ${network}` }))));
        this.count();
    }

    /** count shows the time that is left, and looks at the host when it is up. */
    count() {
        for (const one of this.shown.values()) {
            const seconds = Math.max(0, Math.ceil((one.until - Date.now()) / second));
            one.left.textContent = `${seconds} second${seconds === 1 ? "" : "s"} left`;
            if (seconds === 0)
                this.over();
        }
    }
}
