/* Events of networks, from virbrd to the clients of libvirtd. */
#ifndef VIRBR_EVENT_H
#define VIRBR_EVENT_H

#include "libvirt.h"

/* The driver's two functions. */
int event_register(virConnectPtr conn, virNetworkPtr net, int event, virConnectNetworkEventGenericCallback cb, void *opaque, virFreeCallback freecb);
int event_deregister(virConnectPtr conn, int id);

/* Registers again what a connection was lost of. False if nothing is registered. For
 * the service thread alone: it waits for virbrd. */
bool events_repair(void);

#endif
