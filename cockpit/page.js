// The page: which view is shown, when it is drawn again, and what is said above it.

import { alert, button, errorText, h, nothing, replace } from "./dom.js";
import { Events, view as events } from "./events.js";
import { all, one, status } from "./networks.js";
import { Unconfirmed } from "./unconfirmed.js";
import { view as doctor } from "./doctor.js";
import { view as map } from "./map.js";
import { follow } from "./virbr.js";

const tabs = [["", "Networks", all], ["map", "Map", map], ["findings", "Findings", doctor], ["events", "Events", events]];
const settled = 300; // milliseconds: events that come together make one drawing
const stale = 30_000; // milliseconds: what changes without an event, such as a lease, is looked at again

/** Page is what is on the screen. */
class Page {
    events = new Events();
    shown = {}; // of the view: what it was drawn from
    loading = null; // the view that is being loaded
    wanted = false; // once more when that is done
    view = document.getElementById("view");
    deaf = undefined; // why virbrd cannot be heard
    timer = null; // of a drawing that is to come
    notices = {}; // by what they are about
    unconfirmed = new Unconfirmed({
        show: (network, notice) => this.notice(`confirm ${network}`, notice), act: (what, run) => this.act(what, run),
        over: () => this.settle(),
    });

    /** route reads the address: which view, of which network. */
    route() {
        const [, place = "", name = ""] = window.location.hash.split("/");
        if (place === "network")
            return { place: "", id: window.location.hash, view: one, name: decodeURIComponent(name) };
        const [found, , view] = tabs.find(([tab]) => tab === place) ?? tabs[0];
        return { place: found, id: found, view };
    }

    navigate() {
        const { place } = this.route();
        replace(document.getElementById("tabs"), tabs.map(([tab, text]) =>
            h("li", { class: `pf-v6-c-tabs__item${tab === place ? " pf-m-current" : ""}` },
              h("a", { class: "pf-v6-c-tabs__link", href: `#/${tab}`, "aria-current": tab === place && "page", "data-key": tab },
                h("span", { class: "pf-v6-c-tabs__item-text" }, text)))));
        this.load();
    }

    /** load looks at the host for the view that is shown, and draws what is new. */
    async load() {
        const route = this.route();
        if (this.loading === route.id) {
            this.wanted = true;
            return;
        }
        this.loading = route.id;
        this.wanted = false;
        if (this.shown.id !== route.id)
            replace(this.view, h("p", { class: "virbr-nothing", role: "status" }, "Looking at this host …"));
        try {
            const data = await route.view.load(route);
            if (this.route().id === route.id)
                this.draw(route, data);
            if (route.view.graph)
                this.unconfirmed.see(route.view.graph(data));
            this.notice("load", null);
        } catch (error) {
            if (this.route().id === route.id) {
                this.notice("load", alert("danger", "This host could not be looked at", errorText(error)));
                if (this.shown.id !== route.id)
                    replace(this.view, nothing("There is nothing to show."));
            }
        }
        if (this.loading === route.id)
            this.loading = null;
        if (this.wanted)
            this.load();
    }

    /** draw draws a view unless it shows the same already. */
    draw(route, data) {
        const drawn = JSON.stringify([data, this.events.list]);
        if (this.shown.id === route.id && this.shown.drawn === drawn)
            return;
        this.shown = { id: route.id, drawn };
        replace(this.view, route.view.draw(data, {
            ...route, events: this.events, again: () => this.load(), changed: (name, seconds) => this.changed(name, seconds), act: (what, run) => this.act(what, run),
        }));
    }

    /** settle looks whether a change whose time is up is undone, whatever view is shown. */
    async settle() {
        if (this.settling)
            return;
        this.settling = true;
        try {
            this.unconfirmed.see(await status());
        } catch { // the view says what is wrong
        }
        this.settling = false;
        this.load();
    }

    /** changed draws what a change has made, and counts down if it undoes itself. */
    changed(name, seconds) {
        if (seconds)
            this.unconfirmed.expect(name, seconds);
        this.load();
    }

    /** act does something to a network, and says what the daemon says if it refuses. */
    async act(what, run) {
        this.view.setAttribute("aria-busy", "true");
        try {
            await run();
            this.notice("act", null);
        } catch (error) {
            this.notice("act", alert("danger", `${what} did not work`, errorText(error), button("Close", "link", () => this.notice("act", null))));
        }
        this.view.removeAttribute("aria-busy");
        this.shown.drawn = null; // switches show what is so again
        await this.load();
    }

    /** notice shows one about a subject, in place of the one before; null: none. */
    notice(subject, shown) {
        if (!shown && !this.notices[subject])
            return;
        this.notices[subject] = shown;
        replace(document.getElementById("notices"), Object.values(this.notices));
    }

    /** heard tells whether virbrd can be heard, once for each reason why it cannot. */
    heard(error) {
        if (error?.message === this.deaf)
            return;
        this.deaf = error?.message;
        if (error)
            this.notice("live", alert("warning", "virbrd cannot be heard; trying again", errorText(error)));
        else if (this.notices.live)
            this.notice("live", alert("success", "virbrd answers again", button("Close", "link", () => this.notice("live", null))));
        this.soon();
    }

    soon() {
        this.timer ??= window.setTimeout(() => {
            this.timer = null;
            this.load();
        }, settled);
    }

    /** access says why less is shown, and what to do about it, and looks again when that changes. */
    access() {
        const admin = window.cockpit.permission({ admin: true });
        admin.addEventListener("changed", () => {
            this.notice("access", admin.allowed === false && alert("info", "Without administrative access less is shown, and networks cannot be changed",
                h("p", {}, "Cockpit's button “Limited access” at the top turns it on.")));
            this.load();
        });
    }

    start() {
        this.access();
        window.addEventListener("hashchange", () => this.navigate());
        follow({ event: event => this.events.add(event) && this.soon(), state: error => this.heard(error) });
        window.setInterval(() => window.cockpit.hidden || this.load(), stale);
        this.navigate();
    }
}

window.cockpit.transport.wait(() => new Page().start());
