/*
 * libvirtd's calls, handed on to virbrd. A call that fails leaves virbrd's error as
 * the error of the thread: code, domain, level and message are virbrd's, and
 * libvirtd passes them on to its client.
 *
 * Objects belong to a connection: those of libvirtd's become objects of a connection to
 * virbrd on the way there, and the other way round on the way back. That
 * asks nobody, as they are names and UUIDs.
 */
#include "network.h"

#include <stdlib.h>

#include "event.h"
#include "virbrd.h"

/* One call to virbrd. */
struct call {
	struct connection *virbrd;
	virConnectPtr conn;
	virNetworkPtr net;
	virNetworkPortPtr port;
};

static void call_end(struct call *c)
{
	virErrorPtr error;
	libvirt.error_preserve_last(&error);
	if (c->port)
		virNetworkPortFree(c->port);
	if (c->net)
		virNetworkFree(c->net);
	virbrd_give(c->virbrd);
	libvirt.error_restore(&error);
}

/* Begins a call about the connection, or a network, or a port of it. */
static bool call_begin(struct call *c, virNetworkPtr net, virNetworkPortPtr port)
{
	unsigned char uuid[VIR_UUID_BUFLEN];
	struct caller caller;
	*c = (struct call){NULL, NULL, NULL, NULL};
	if (!caller_get(&caller))
		return false;
	c->virbrd = virbrd_take(&caller);
	caller_free(&caller);
	if (!c->virbrd)
		return false;
	c->conn = c->virbrd->conn;
	if (!net)
		return true;
	if (virNetworkGetUUID(net, uuid) == 0 &&
	    (c->net = libvirt.get_network(c->conn, virNetworkGetName(net), uuid)) &&
	    (!port || (virNetworkPortGetUUID(port, uuid) == 0 && (c->port = libvirt.get_network_port(c->net, uuid)))))
		return true;
	call_end(c);
	return false;
}

#define CALL(type, failure, net, port, expression) \
	do {                                       \
		struct call c;                     \
		type result = failure;             \
		if (call_begin(&c, net, port)) {   \
			result = (expression);     \
			call_end(&c);              \
		}                                  \
		return result;                     \
	} while (0)

/* A network of virbrd, which goes, as one of libvirtd's connection. */
static virNetworkPtr to_client(virConnectPtr conn, virNetworkPtr net)
{
	unsigned char uuid[VIR_UUID_BUFLEN];
	virNetworkPtr ours = NULL;
	if (!net)
		return NULL;
	if (virNetworkGetUUID(net, uuid) == 0)
		ours = libvirt.get_network(conn, virNetworkGetName(net), uuid);
	virErrorPtr error;
	libvirt.error_preserve_last(&error);
	virNetworkFree(net);
	libvirt.error_restore(&error);
	return ours;
}

static virNetworkPortPtr port_to_client(virNetworkPtr net, virNetworkPortPtr port)
{
	unsigned char uuid[VIR_UUID_BUFLEN];
	virNetworkPortPtr ours = NULL;
	if (!port)
		return NULL;
	if (virNetworkPortGetUUID(port, uuid) == 0)
		ours = libvirt.get_network_port(net, uuid);
	virErrorPtr error;
	libvirt.error_preserve_last(&error);
	virNetworkPortFree(port);
	libvirt.error_restore(&error);
	return ours;
}

/* Turns a list of virbrd's objects, in place, into libvirtd's; if one fails, all are
 * freed. */
#define TO_CLIENT(list, n, convert, owner, release)                    \
	do {                                                           \
		bool ok = true;                                        \
		for (int i = 0; i < (n); i++)                          \
			ok = ((list)[i] = convert(owner, (list)[i])) && ok; \
		for (int i = 0; !ok && i < (n); i++)                   \
			if ((list)[i])                                 \
				release((list)[i]);                    \
		if (!ok) {                                             \
			free(list);                                    \
			(list) = NULL;                                 \
			(n) = -1;                                      \
		}                                                      \
	} while (0)

static int num_of_networks(virConnectPtr conn)
{
	(void)conn;
	CALL(int, -1, NULL, NULL, virConnectNumOfNetworks(c.conn));
}

static int list_networks(virConnectPtr conn, char **const names, int max)
{
	(void)conn;
	CALL(int, -1, NULL, NULL, virConnectListNetworks(c.conn, names, max));
}

static int num_of_defined_networks(virConnectPtr conn)
{
	(void)conn;
	CALL(int, -1, NULL, NULL, virConnectNumOfDefinedNetworks(c.conn));
}

static int list_defined_networks(virConnectPtr conn, char **const names, int max)
{
	(void)conn;
	CALL(int, -1, NULL, NULL, virConnectListDefinedNetworks(c.conn, names, max));
}

static int list_all_networks(virConnectPtr conn, virNetworkPtr **nets, unsigned int flags)
{
	struct call c;
	if (!call_begin(&c, NULL, NULL))
		return -1;
	int n = virConnectListAllNetworks(c.conn, nets, flags);
	if (nets && n >= 0)
		TO_CLIENT(*nets, n, to_client, conn, virNetworkFree);
	call_end(&c);
	return n;
}

static virNetworkPtr lookup_by_uuid(virConnectPtr conn, const unsigned char *uuid)
{
	CALL(virNetworkPtr, NULL, NULL, NULL, to_client(conn, virNetworkLookupByUUID(c.conn, uuid)));
}

static virNetworkPtr lookup_by_name(virConnectPtr conn, const char *name)
{
	CALL(virNetworkPtr, NULL, NULL, NULL, to_client(conn, virNetworkLookupByName(c.conn, name)));
}

static virNetworkPtr create_xml(virConnectPtr conn, const char *xml)
{
	CALL(virNetworkPtr, NULL, NULL, NULL, to_client(conn, virNetworkCreateXML(c.conn, xml)));
}

static virNetworkPtr create_xml_flags(virConnectPtr conn, const char *xml, unsigned int flags)
{
	CALL(virNetworkPtr, NULL, NULL, NULL, to_client(conn, virNetworkCreateXMLFlags(c.conn, xml, flags)));
}

static virNetworkPtr define_xml(virConnectPtr conn, const char *xml)
{
	CALL(virNetworkPtr, NULL, NULL, NULL, to_client(conn, virNetworkDefineXML(c.conn, xml)));
}

static virNetworkPtr define_xml_flags(virConnectPtr conn, const char *xml, unsigned int flags)
{
	CALL(virNetworkPtr, NULL, NULL, NULL, to_client(conn, virNetworkDefineXMLFlags(c.conn, xml, flags)));
}

static int undefine(virNetworkPtr net)
{
	CALL(int, -1, net, NULL, virNetworkUndefine(c.net));
}

static int update(virNetworkPtr net, unsigned int command, unsigned int section, int parent, const char *xml, unsigned int flags)
{
	CALL(int, -1, net, NULL, virNetworkUpdate(c.net, command, section, parent, xml, flags));
}

static int create(virNetworkPtr net)
{
	CALL(int, -1, net, NULL, virNetworkCreate(c.net));
}

static int destroy(virNetworkPtr net)
{
	CALL(int, -1, net, NULL, virNetworkDestroy(c.net));
}

static char *get_xml_desc(virNetworkPtr net, unsigned int flags)
{
	CALL(char *, NULL, net, NULL, virNetworkGetXMLDesc(c.net, flags));
}

static char *get_bridge_name(virNetworkPtr net)
{
	CALL(char *, NULL, net, NULL, virNetworkGetBridgeName(c.net));
}

static int get_autostart(virNetworkPtr net, int *autostart)
{
	CALL(int, -1, net, NULL, virNetworkGetAutostart(c.net, autostart));
}

static int set_autostart(virNetworkPtr net, int autostart)
{
	CALL(int, -1, net, NULL, virNetworkSetAutostart(c.net, autostart));
}

static int is_active(virNetworkPtr net)
{
	CALL(int, -1, net, NULL, virNetworkIsActive(c.net));
}

static int is_persistent(virNetworkPtr net)
{
	CALL(int, -1, net, NULL, virNetworkIsPersistent(c.net));
}

static int get_dhcp_leases(virNetworkPtr net, const char *mac, virNetworkDHCPLeasePtr **leases, unsigned int flags)
{
	CALL(int, -1, net, NULL, virNetworkGetDHCPLeases(c.net, mac, leases, flags));
}

static virNetworkPortPtr port_lookup_by_uuid(virNetworkPtr net, const unsigned char *uuid)
{
	CALL(virNetworkPortPtr, NULL, net, NULL, port_to_client(net, virNetworkPortLookupByUUID(c.net, uuid)));
}

static virNetworkPortPtr port_create_xml(virNetworkPtr net, const char *xml, unsigned int flags)
{
	CALL(virNetworkPortPtr, NULL, net, NULL, port_to_client(net, virNetworkPortCreateXML(c.net, xml, flags)));
}

static char *port_get_xml_desc(virNetworkPortPtr port, unsigned int flags)
{
	CALL(char *, NULL, virNetworkPortGetNetwork(port), port, virNetworkPortGetXMLDesc(c.port, flags));
}

static int port_set_parameters(virNetworkPortPtr port, virTypedParameterPtr params, int n, unsigned int flags)
{
	CALL(int, -1, virNetworkPortGetNetwork(port), port, virNetworkPortSetParameters(c.port, params, n, flags));
}

static int port_get_parameters(virNetworkPortPtr port, virTypedParameterPtr *params, int *n, unsigned int flags)
{
	CALL(int, -1, virNetworkPortGetNetwork(port), port, virNetworkPortGetParameters(c.port, params, n, flags));
}

static int port_delete(virNetworkPortPtr port, unsigned int flags)
{
	CALL(int, -1, virNetworkPortGetNetwork(port), port, virNetworkPortDelete(c.port, flags));
}

static int list_all_ports(virNetworkPtr net, virNetworkPortPtr **ports, unsigned int flags)
{
	struct call c;
	if (!call_begin(&c, net, NULL))
		return -1;
	int n = virNetworkListAllPorts(c.net, ports, flags);
	if (ports && n >= 0)
		TO_CLIENT(*ports, n, port_to_client, net, virNetworkPortFree);
	call_end(&c);
	return n;
}

/* Only a libvirtd that has these functions in its library calls the two. */

static int set_metadata(virNetworkPtr net, int type, const char *metadata, const char *key, const char *uri, unsigned int flags)
{
	CALL(int, -1, net, NULL, libvirt.network_set_metadata(c.net, type, metadata, key, uri, flags));
}

static char *get_metadata(virNetworkPtr net, int type, const char *uri, unsigned int flags)
{
	CALL(char *, NULL, net, NULL, libvirt.network_get_metadata(c.net, type, uri, flags));
}

const struct network_driver network_driver = {
	.name = "network",
	.connect_num_of_networks = num_of_networks,
	.connect_list_networks = list_networks,
	.connect_num_of_defined_networks = num_of_defined_networks,
	.connect_list_defined_networks = list_defined_networks,
	.connect_list_all_networks = list_all_networks,
	.connect_network_event_register_any = event_register,
	.connect_network_event_deregister_any = event_deregister,
	.network_lookup_by_uuid = lookup_by_uuid,
	.network_lookup_by_name = lookup_by_name,
	.network_create_xml = create_xml,
	.network_create_xml_flags = create_xml_flags,
	.network_define_xml = define_xml,
	.network_define_xml_flags = define_xml_flags,
	.network_undefine = undefine,
	.network_update = update,
	.network_create = create,
	.network_destroy = destroy,
	.network_get_xml_desc = get_xml_desc,
	.network_get_bridge_name = get_bridge_name,
	.network_get_autostart = get_autostart,
	.network_set_autostart = set_autostart,
	.network_is_active = is_active,
	.network_is_persistent = is_persistent,
	.network_get_dhcp_leases = get_dhcp_leases,
	.network_port_lookup_by_uuid = port_lookup_by_uuid,
	.network_port_create_xml = port_create_xml,
	.network_port_get_xml_desc = port_get_xml_desc,
	.network_port_set_parameters = port_set_parameters,
	.network_port_get_parameters = port_get_parameters,
	.network_port_delete = port_delete,
	.network_list_all_ports = list_all_ports,
	.network_set_metadata = set_metadata,
	.network_get_metadata = get_metadata,
};
