// The program virbr, run by Cockpit: as root where the user may be that. Nothing of virbr
// listens for this page.

const options = { superuser: "try", err: "message" };

function errorOf(problem) {
    if (problem.problem === "not-found")
        return new Error("The program virbr is not installed on this host.");
    return new Error((problem.message || String(problem)).trimEnd().replace(/\nTry 'virbr --help'\.$/, ""));
}

/** Runs virbr and resolves to what it prints. statuses are exit statuses that are no errors. */
export function virbr(args, { input, statuses = [] } = {}) {
    return new Promise((resolve, reject) => {
        const process = window.cockpit.spawn(["virbr", ...args], options);
        process.then(resolve, (problem, out) => statuses.includes(problem.exit_status) ? resolve(out) : reject(errorOf(problem)));
        if (input !== undefined)
            process.input(input);
    });
}

/** Runs virbr and resolves to the value that it prints. */
export async function value(args, more) {
    return JSON.parse(await virbr(args, more));
}

const slowest = 10_000; // milliseconds between two tries to reach virbrd

/** Tells of events, those before the page was there first: event(e) for each. state(error) is
 *  called when virbrd can be heard, with null, and when it cannot. It tries again for ever. */
export function follow({ event, state }) {
    let wait = 500;
    const again = error => {
        state(errorOf(error));
        window.setTimeout(begin, wait);
        wait = Math.min(wait * 2, slowest);
    };
    const begin = () => {
        let rest = "";
        const process = window.cockpit.spawn(["virbr", "events", "--json", "--recent"], options);
        process.stream(data => {
            const lines = (rest + data).split("\n");
            rest = lines.pop();
            for (const e of lines.map(line => JSON.parse(line))) {
                if (e.event === "listening") {
                    wait = 500;
                    state(null);
                } else {
                    event(e);
                }
            }
        });
        process.then(() => again(new Error("virbr events has ended")), again);
    };
    begin();
}
