// What `virbr doctor` finds, each with the command that mends it.

import { button, h, label, nothing, section, table } from "./dom.js";
import { value } from "./virbr.js";

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** A command for root's shell, and what copies it. */
export function command(text) {
    const code = h("code", {}, text);
    const done = h("span", { role: "status", class: "virbr-copied" });
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(text);
            done.textContent = "Copied";
        } catch { // the browser has no clipboard for this page: it is marked, for Ctrl+C
            window.getSelection().selectAllChildren(code);
            done.textContent = "Selected: press Ctrl+C";
        }
    };
    return h("div", { class: "virbr-command" }, h("pre", { tabindex: "0", "aria-label": "Command" }, code),
             button("Copy", "secondary", copy, { "aria-label": `Copy the command ${text}`, "data-key": `copy ${text}` }), done);
}

function finding(found) {
    return h("li", { class: "virbr-card" },
             h("h3", { class: "pf-v6-c-title pf-m-md virbr-line" }, label(found.severity), found.network ?? "This host"),
             h("p", {}, found.text),
             found.mend && command(found.mend),
             found.note && h("p", { class: "virbr-small" }, found.note),
             found.evidence.length > 0 && h("details", {}, h("summary", {}, "What was seen"), h("ul", {}, found.evidence.map(seen => h("li", {}, seen)))));
}

const severities = ["problem", "warning", "hint"]; // the worst first

function summary(findings) {
    const count = severity => findings.filter(found => found.severity === severity).length;
    const said = severities.filter(count).map(severity => plural(count(severity), severity));
    return said.length > 0 ? said.join(", ") : "No connectivity problems";
}

export const view = {
    load: () => value(["doctor", "--json"], { statuses: [1] }), // 1: there are findings
    draw(report, { again }) {
        const findings = report.findings.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
        const walks = [{ network: "This host", steps: report.host }, ...report.networks];
        return [
            section(summary(findings), button("Look again", "secondary", again, { "data-key": "again" }),
                    findings.length > 0
                        ? h("ul", { class: "virbr-cards" }, findings.map(finding))
                        : nothing("Packets of all networks were followed through this host.")),
            section("What was looked at", undefined,
                    walks.map(walk => h("details", {}, h("summary", {}, walk.network),
                                        table(`Steps of ${walk.network}`, ["Step", "State", "What was seen"],
                                              walk.steps.map(step => [step.step, label(step.state), step.text])))),
                    report.unchecked.length > 0 && h("ul", {}, report.unchecked.map(text => h("li", {}, `Not looked at: ${text}`)))),
        ];
    },
};
