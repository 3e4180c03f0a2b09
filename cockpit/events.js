// What happened to networks, the newest first.

import { h, nothing, section, table } from "./dom.js";

const most = 500; // events that are kept

/** Events since virbrd started, as far as it knows them, and those that come. */
export class Events {
    list = [];

    /** add keeps an event. Events are told again when virbrd was away. */
    add(event) {
        if (this.list.some(known => known.time === event.time && known.network === event.network && known.text === event.text))
            return false;
        this.list.unshift(event);
        this.list.length = Math.min(this.list.length, most);
        return true;
    }

    /** of returns those of one network. */
    of(network) { return this.list.filter(event => event.network === network) }
}

/** A table of events; of one network without its name. */
export function eventTable(list, network) {
    if (list.length === 0)
        return nothing("Nothing has happened since virbrd was started.");
    const named = network === undefined;
    return table("Events, the newest first", ["Time", ...(named ? ["Network"] : []), "What happened"], list.map(event => [
        h("time", { datetime: event.time }, new Date(event.time).toLocaleString()), ...(named ? [event.network] : []), event.text]));
}

export const view = {
    load: async () => null,
    draw: (_, { events }) => section("What happened", undefined, eventTable(events.list)),
};
