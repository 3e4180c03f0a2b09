// A change of a network: a form, what it would do, and then the change itself, which can be
// one that undoes itself. virbr makes the definitions, plans and applies them.

import { alert, button, errorText, h, label } from "./dom.js";
import { open } from "./dialog.js";
import { value, virbr } from "./virbr.js";

const seconds = 60; // until a change undoes itself that is not confirmed
const planned = { statuses: [2] }; // virbr plan: something changes

const kinds = { nothing: "ok", "at renewal": "hint", renumbered: "warning", "link flaps": "warning", "cut off": "problem" };

function step(change) {
    return h("li", {}, h("code", {}, change.step), change.guests !== "nothing" && [" ", label(kinds[change.guests] ?? "hint", change.guests)]);
}

/** What a plan says of the network. */
function planOf(plan) {
    const steps = plan.steps.length > 0
        ? h("ul", { class: "virbr-steps", tabindex: "0", "aria-label": "Steps" }, plan.steps.map(step))
        : h("p", {}, plan.defines ? "Nothing changes on this host now: the definition does, for when the network is started." : "Nothing changes.");
    return [
        plan.steps.length > 0 && h("p", { class: "virbr-line" }, "Guests notice:", label(kinds[plan.guests] ?? "hint", plan.guests)),
        plan.restart && h("p", {}, "The network is stopped and started; its guests are attached again."),
        steps,
        plan.drift?.length > 0 && h("p", {}, `The host lacks, and gets: ${plan.drift.join("; ")}`),
    ];
}

/** A field of a form with its label, and what helps to fill it. */
function field(text, control, help) {
    const id = `field-${control.name}`;
    control.id = id;
    if (help)
        control.setAttribute("aria-describedby", `${id}-help`);
    return h("div", { class: "pf-v6-c-form__group" },
             h("div", { class: "pf-v6-c-form__group-label" }, h("label", { class: "pf-v6-c-form__label", for: id }, h("span", { class: "pf-v6-c-form__label-text" }, text))),
             h("div", { class: "pf-v6-c-form__group-control" }, h("span", { class: "pf-v6-c-form-control" }, control),
               help && h("p", { class: "virbr-small", id: `${id}-help` }, help)));
}

const input = (name, attributes) => h("input", { name, type: "text", autocomplete: "off", spellcheck: "false", ...attributes });

/** A field for a guest, with the names that are known. */
function guestField(network) {
    const names = [...new Set(network.guests.map(guest => guest.name).filter(Boolean))];
    return [field("Guest", input("guest", { required: true, list: "guests" }), "Its name in DHCP, its MAC address or an IP address."),
        h("datalist", { id: "guests" }, names.map(name => h("option", { value: name })))];
}

/** Forwards a port of the host to a guest. */
export function addForward(network, done) {
    new Change({
        title: `Forward a port to a guest of ${network.name}`, done,
        fields: [
            field("Protocol", h("select", { name: "proto" }, ["tcp", "udp", "sctp"].map(proto => h("option", { value: proto }, proto.toUpperCase())))),
            field("Port of the host", input("ports", { required: true, autofocus: true }), "A port, a range such as 9000-9010, or several with commas between."),
            guestField(network),
            field("Port of the guest", input("to", { inputmode: "numeric" }), "Empty: the same as of the host."),
            field("Only to the host's address or link", input("listen"), "Empty: all of them."),
            field("Only from", input("from"), "Prefixes or addresses with commas between. Empty: from everybody."),
        ],
        print: form => ["forward", "add", "--print", `--proto=${form.get("proto")}`, `--listen=${form.get("listen")}`, `--from=${form.get("from")}`, "--",
            network.name, form.get("ports").trim() + (form.get("to") ? `:${form.get("to").trim()}` : ""), form.get("guest").trim()],
    });
}

/** Removes what stands at a place in the list of forwards, from 0. */
export function removeForward(network, at, done) {
    new Change({
        title: `Remove ${network.forwards[at].text}?`, done,
        print: () => ["forward", "remove", "--print", "--", network.name, String(at + 1)],
    });
}

/** Gives a guest a public address. */
export function addAddress(network, done) {
    new Change({
        title: `Give a guest of ${network.name} a public address`, done,
        fields: [
            field("Address", input("address", { required: true, autofocus: true }), "IPv4 or IPv6. All that is sent to it reaches the guest."),
            guestField(network),
            h("div", { class: "virbr-line" }, h("input", { type: "checkbox", name: "stateless", id: "stateless", class: "virbr-check" }),
              h("label", { for: "stateless" }, "Track no connections")),
        ],
        print: form => ["address", "add", "--print", ...(form.get("stateless") ? ["--stateless"] : []), "--", network.name, form.get("address").trim(), form.get("guest").trim()],
    });
}

/** Takes a public address from its guest. */
export function removeAddress(network, at, done) {
    const { text } = network.public_addresses[at];
    new Change({ title: `Remove ${text}?`, done, print: () => ["address", "remove", "--print", "--", network.name, text.split(" ")[0]] });
}

/** Sets the IPv6 prefix that is advertised to guests. */
export function setPrefix(network, done) {
    const chosen = network.prefix ?? "none";
    const own = !["none", "ula", "auto"].includes(chosen);
    const kind = h("select", { name: "kind", autofocus: true }, Object.entries({
        ula: "Local, translated to the host's address", auto: "Out of the host's pool", own: "Routed to this host", none: "None",
    }).map(([kind, text]) => h("option", { value: kind, selected: kind === (own ? "own" : chosen) }, text)));
    const prefix = field("Prefix", input("prefix", { value: own ? chosen : "" }), "Such as 2001:db8:31::/64.");
    const shown = () => { prefix.hidden = kind.value !== "own"; };
    kind.addEventListener("change", shown);
    shown();
    new Change({
        title: `IPv6 of ${network.name}`, done, fields: [field("Prefix of guests", kind), prefix],
        print: form => form.get("kind") === "none" ? ["prefix", "remove", "--print", "--", network.name]
            : ["prefix", "set", "--print", "--", network.name, form.get("kind") === "own" ? form.get("prefix").trim() : form.get("kind")],
    });
}

/** Change is one that a person makes in a dialog. */
class Change {
    /** title says what is done; fields is the form, or nothing; print(form) returns the
     *  arguments of virbr that print the definition; done is called when it is made, with the
     *  seconds in which it must be confirmed. */
    constructor({ title, fields, print, done }) {
        Object.assign(this, { fields, print, done });
        this.form = h("form", { class: "pf-v6-c-form", novalidate: true, onsubmit: event => this.submit(event) });
        this.dialog = open(title, close => {
            this.close = close;
            return [h("div", { class: "pf-v6-c-modal-box__body" }, this.form)];
        });
        if (fields)
            this.ask();
        else
            this.plan();
    }

    /** show replaces what is in the dialog; said is an error before it. */
    show(children, buttons, said) {
        this.form.replaceChildren(...[said && h("div", { role: "alert" }, alert("danger", "That did not work", errorText(said))), children,
            h("div", { class: "virbr-line" }, buttons, button("Cancel", "link", () => this.close()))].flat(Infinity).filter(Boolean));
        (this.form.querySelector("[autofocus]") ?? this.form.querySelector("input, button"))?.focus();
    }

    ask(error) {
        this.next = () => {
            this.values = new FormData(this.form);
            return this.plan();
        };
        this.show(this.fields, h("button", { type: "submit", class: "pf-v6-c-button pf-m-primary" }, h("span", { class: "pf-v6-c-button__text" }, "Show what it does")), error);
    }

    async submit(event) {
        event.preventDefault();
        if (!this.form.reportValidity() || this.busy)
            return;
        this.busy = true;
        this.form.setAttribute("aria-busy", "true");
        await this.next();
        this.form.removeAttribute("aria-busy");
        this.busy = false;
    }

    /** plan shows what the change would do. */
    async plan(error) {
        try {
            this.document = await virbr(this.print(this.values));
            const [plan] = await value(["plan", "--json", "-"], { input: this.document, ...planned });
            this.confirmed = h("input", { type: "checkbox", id: "confirm", class: "virbr-check", checked: plan.running && plan.guests !== "nothing" });
            this.cuts = plan.guests === "cut off";
            this.next = () => this.apply();
            this.show([planOf(plan), plan.running && plan.steps.length > 0 && h("div", { class: "virbr-line" }, this.confirmed,
                h("label", { for: "confirm" }, `Undo it after ${seconds} seconds unless I confirm it`))], [
                h("button", { type: "submit", class: `pf-v6-c-button pf-m-${this.cuts ? "danger" : "primary"}`, autofocus: true }, h("span", { class: "pf-v6-c-button__text" }, "Apply")),
                this.fields && button("Back", "secondary", () => this.ask())], error);
        } catch (problem) {
            if (this.fields)
                this.ask(problem);
            else
                this.show([], [], problem);
        }
    }

    /** apply makes the change that was shown; one that has become another is shown again. */
    async apply() {
        try {
            if (await virbr(this.print(this.values)) !== this.document)
                return await this.plan(new Error("The network was changed meanwhile. This is what the change would do now."));
            const more = this.confirmed.checked ? ["--confirm", `${seconds}s`] : this.cuts ? ["--yes"] : [];
            await virbr(["apply", "--json", ...more, "-"], { input: this.document });
            this.close();
            this.done(this.confirmed.checked && seconds);
        } catch (problem) {
            await this.plan(problem);
        }
    }
}
