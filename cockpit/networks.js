// All networks, and one of them.

import { alert, button, h, label, nothing, section, table } from "./dom.js";
import { addAddress, addForward, removeAddress, removeForward, setPrefix } from "./change.js";
import { ask } from "./dialog.js";
import { eventTable } from "./events.js";
import { value, virbr } from "./virbr.js";

/** All networks as virbr sees them. */
export const status = () => value(["status", "--json"]);

const list = words => words.length > 0 ? words.join(", ") : "–";
const pools = network => list(network.pools.map(pool => `${pool.used} of ${pool.size}`));
export const page = network => `#/network/${encodeURIComponent(network.name)}`;

function forwards(network) {
    const all = [...network.forwards, ...network.public_addresses];
    const active = all.filter(one => one.active).length;
    if (all.length === 0)
        return "–";
    return network.active && active < all.length ? `${active} of ${all.length} in force` : String(all.length);
}

/** The button that starts or stops a network. */
function power(network, { act }) {
    const name = network.name;
    if (!network.active)
        return button("Start", "secondary", () => act(`Starting ${name}`, () => virbr(["start", "--", name])), { "aria-label": `Start ${name}`, class: "pf-v6-c-button pf-m-secondary pf-m-small", "data-key": `power ${name}` });
    const guests = network.guests.length;
    const stop = () => ask(`Stop ${name}?`, "Stop", guests > 0
        ? `${guests} guest${guests === 1 ? " goes" : "s go"} offline until the network is started again.`
        : "No guest is on it.").then(yes => yes && act(`Stopping ${name}`, () => virbr(["stop", "--", name])));
    return button("Stop", "secondary", stop, { "aria-label": `Stop ${name}`, class: "pf-v6-c-button pf-m-secondary pf-m-small", "data-key": `power ${name}` });
}

function autostart(network, { act }) {
    const name = network.name;
    const change = event => act(`Setting autostart of ${name}`, () => virbr(["autostart", ...(event.target.checked ? [] : ["--disable"]), "--", name]));
    return h("label", { class: "pf-v6-c-switch" },
             h("input", { class: "pf-v6-c-switch__input", type: "checkbox", role: "switch", checked: network.autostart, "aria-label": `Start ${name} with the host`,
                          "data-key": `autostart ${name}`, onchange: change }),
             h("span", { class: "pf-v6-c-switch__toggle" }));
}

function unchecked(graph) {
    return graph.unchecked.length > 0 && alert("info", "Not everything could be looked at", h("ul", {}, graph.unchecked.map(text => h("li", {}, text))));
}

export const all = {
    load: status,
    graph: graph => graph,
    draw(graph, context) {
        if (graph.networks.length === 0)
            return [unchecked(graph), nothing("There are no networks. The command virsh net-define FILE makes one.")];
        return [
            unchecked(graph),
            table("Networks", ["Name", "Mode", "Subnets", "Bridge", "Leaves by", "Guests", "Leases", "Forwards", "Health", "Autostart", ""],
                  graph.networks.map(network => [
                      h("a", { href: page(network), "data-key": `open ${network.name}` }, network.name),
                      network.mode, list(network.subnets), network.bridge ?? "–", list(network.uplinks),
                      network.active ? String(network.guests.length) : "–", pools(network), forwards(network), label(network.health),
                      autostart(network, context), power(network, context)])),
        ];
    },
};

function facts(network, changed) {
    const shown = {
        Mode: network.mode, Subnets: list(network.subnets),
        "IPv6 prefix": [network.prefix ?? "none", " ", button("Change", "link", () => setPrefix(network, changed), { class: "pf-v6-c-button pf-m-link pf-m-inline", "aria-label": "Change the IPv6 prefix", "data-key": "prefix" })],
        Bridge: network.bridge ?? "–", "Leaves by": list(network.uplinks),
        "Leases used": pools(network), "Kept by": network.keeper, "Last change": network.changed?.text ?? "–",
    };
    return h("dl", { class: "pf-v6-c-description-list pf-m-auto-fit" }, Object.entries(shown).map(([term, text]) =>
        h("div", { class: "pf-v6-c-description-list__group" },
          h("dt", { class: "pf-v6-c-description-list__term" }, h("span", { class: "pf-v6-c-description-list__text" }, term)),
          h("dd", { class: "pf-v6-c-description-list__description" }, h("div", { class: "pf-v6-c-description-list__text" }, text)))));
}

const inForce = (network, one) => one.reason ?? (one.active ? "in force" : network.active ? "not in force" : "the network is not running");

/** Forwards or public addresses, with what adds and removes them. */
function targets(title, what, network, list, add, remove, changed) {
    const rows = list.map((one, at) => [one.text, inForce(network, one),
        button("Remove", "link", () => remove(network, at, changed), { "aria-label": `Remove ${one.text}`, "data-key": `remove ${one.text}` })]);
    return section(title, button(`Add ${what.toLowerCase()}`, "secondary", () => add(network, changed), { "data-key": `add ${what}` }),
                   list.length > 0 ? table(title, [what, "State", ""], rows) : nothing("There are none."));
}

function leases(list) {
    return section("DHCP leases", undefined, list.length === 0 ? nothing("There are none.")
        : table("DHCP leases", ["Address", "Guest", "MAC address", "Until"], list.map(lease => [
            lease.address, lease.guest ?? lease.hostname ?? "–", lease.mac ?? lease.duid ?? "–",
            lease.expires ? new Date(lease.expires).toLocaleString() : lease.leased ? "for ever" : "reserved"])));
}

export const one = {
    /** What the daemon alone knows is missing where it does not answer. */
    async load({ name }) {
        const [graph, leased] = await Promise.all([status(), value(["lease", "list", "--json", "--", name]).catch(() => [])]);
        return { graph, leased };
    },
    graph: ({ graph }) => graph,
    draw({ graph, leased }, context) {
        const network = graph.networks.find(network => network.name === context.name);
        if (network === undefined)
            return alert("warning", `There is no network ${context.name}`, h("p", {}, h("a", { href: "#/" }, "All networks")));
        const changed = seconds => context.changed(network.name, seconds);
        return [
            h("div", { class: "virbr-bar" },
              h("h2", { class: "pf-v6-c-title pf-m-xl virbr-line" }, network.name, label(network.health)),
              h("span", { class: "virbr-line" }, h("span", { class: "virbr-small", "aria-hidden": "true" }, "Autostart"), autostart(network, context), power(network, context))),
            network.findings.length > 0 && alert(network.health === "problem" ? "danger" : "warning", "Guests are kept from something",
                h("ul", {}, network.findings.map(text => h("li", {}, text))), h("p", {}, h("a", { href: "#/findings" }, "The commands that mend it"))),
            unchecked(graph),
            facts(network, changed),
            section("Guests", undefined, network.guests.length > 0
                ? table("Guests", ["Name", "Addresses", "MAC address"], network.guests.map(guest => [guest.name ?? "–", list(guest.addresses), guest.mac ?? "–"]))
                : nothing("No guest is on this network.")),
            leases(leased),
            targets("Port forwards", "Forward", network, network.forwards, addForward, removeForward, changed),
            targets("Public addresses", "Public address", network, network.public_addresses, addAddress, removeAddress, changed),
            section("What happened", undefined, eventTable(context.events.of(network.name), network.name)),
        ];
    },
};
