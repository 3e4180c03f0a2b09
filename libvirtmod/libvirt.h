/*
 * What libvirtd and a network module expect of each other, and libvirt's public
 * headers do not say: two tables that a module registers, and functions of
 * libvirt.so.0. The declarations are ours; facts come from libvirt 9.0 to 12.
 *
 * The functions carry a version of their libvirt alone (LIBVIRT_PRIVATE_x.y.z),
 * so they are looked up at run time (see libvirt_load), not linked.
 */
#ifndef VIRBR_LIBVIRT_H
#define VIRBR_LIBVIRT_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <sys/types.h>

/* The versions of libvirt whose tables are those below, as virGetVersion tells:
 * major * 1000000 + minor * 1000 + release. */
#ifndef LIBVIRT_OLDEST
#define LIBVIRT_OLDEST 9000000UL
#endif
#ifndef LIBVIRT_NEWEST
#define LIBVIRT_NEWEST 12999999UL
#endif

/* What a driver's open returns. */
enum { OPEN_SUCCESS = 0, OPEN_DECLINED = -1, OPEN_ERROR = -2 };

/* Members behind these differ between versions. A member that is NULL is a
 * function that the driver does not support, so the rest is as many NULLs as no
 * version of the table has members (libvirt 12 has less than 300). */
struct hypervisor_driver {
	const char *name;
	void *connect_uri_probe;
	int (*connect_open)(virConnectPtr, virConnectAuthPtr, void *conf, unsigned int flags);
	int (*connect_close)(virConnectPtr);
	int (*connect_supports_feature)(virConnectPtr, int feature);
	void *rest[507];
};

/* A function takes what the public function of its name takes. */
struct network_driver {
	const char *name;
	int (*connect_num_of_networks)(virConnectPtr);
	int (*connect_list_networks)(virConnectPtr, char **const names, int max);
	int (*connect_num_of_defined_networks)(virConnectPtr);
	int (*connect_list_defined_networks)(virConnectPtr, char **const names, int max);
	int (*connect_list_all_networks)(virConnectPtr, virNetworkPtr **, unsigned int flags);
	int (*connect_network_event_register_any)(virConnectPtr, virNetworkPtr, int event, virConnectNetworkEventGenericCallback, void *opaque, virFreeCallback);
	int (*connect_network_event_deregister_any)(virConnectPtr, int id);
	virNetworkPtr (*network_lookup_by_uuid)(virConnectPtr, const unsigned char *uuid);
	virNetworkPtr (*network_lookup_by_name)(virConnectPtr, const char *name);
	virNetworkPtr (*network_create_xml)(virConnectPtr, const char *xml);
	virNetworkPtr (*network_create_xml_flags)(virConnectPtr, const char *xml, unsigned int flags);
	virNetworkPtr (*network_define_xml)(virConnectPtr, const char *xml);
	virNetworkPtr (*network_define_xml_flags)(virConnectPtr, const char *xml, unsigned int flags);
	int (*network_undefine)(virNetworkPtr);
	int (*network_update)(virNetworkPtr, unsigned int command, unsigned int section, int parent, const char *xml, unsigned int flags);
	int (*network_create)(virNetworkPtr);
	int (*network_destroy)(virNetworkPtr);
	char *(*network_get_xml_desc)(virNetworkPtr, unsigned int flags);
	char *(*network_get_bridge_name)(virNetworkPtr);
	int (*network_get_autostart)(virNetworkPtr, int *autostart);
	int (*network_set_autostart)(virNetworkPtr, int autostart);
	int (*network_is_active)(virNetworkPtr);
	int (*network_is_persistent)(virNetworkPtr);
	int (*network_get_dhcp_leases)(virNetworkPtr, const char *mac, virNetworkDHCPLeasePtr **, unsigned int flags);
	virNetworkPortPtr (*network_port_lookup_by_uuid)(virNetworkPtr, const unsigned char *uuid);
	virNetworkPortPtr (*network_port_create_xml)(virNetworkPtr, const char *xml, unsigned int flags);
	char *(*network_port_get_xml_desc)(virNetworkPortPtr, unsigned int flags);
	int (*network_port_set_parameters)(virNetworkPortPtr, virTypedParameterPtr, int n, unsigned int flags);
	int (*network_port_get_parameters)(virNetworkPortPtr, virTypedParameterPtr *, int *n, unsigned int flags);
	int (*network_port_delete)(virNetworkPortPtr, unsigned int flags);
	int (*network_list_all_ports)(virNetworkPtr, virNetworkPortPtr **, unsigned int flags);
	/* Since 9.7; an older libvirtd does not look here. */
	int (*network_set_metadata)(virNetworkPtr, int type, const char *metadata, const char *key, const char *uri, unsigned int flags);
	char *(*network_get_metadata)(virNetworkPtr, int type, const char *uri, unsigned int flags);
};

struct connect_driver {
	bool local_only;
	bool remote_only;
	bool embeddable;
	const char **uri_schemes; /* ends with NULL */
	const struct hypervisor_driver *hypervisor;
	const void *interface;
	const struct network_driver *network;
	const void *nodedev;
	const void *nwfilter;
	const void *secret;
	const void *storage;
};

typedef struct identity *identity_ptr; /* on whose behalf a thread works; a counted reference */

/* Functions of libvirt.so.0, found by libvirt_load. */
struct libvirt {
	int (*register_connect_driver)(const struct connect_driver *, bool set_shared);
	int (*set_shared_network_driver)(const struct network_driver *);
	/* An object of a connection, by what it is known by. */
	virNetworkPtr (*get_network)(virConnectPtr, const char *name, const unsigned char *uuid);
	virNetworkPortPtr (*get_network_port)(virNetworkPtr, const unsigned char *uuid);

	/* The error of this thread: set; taken aside and put back. */
	void (*set_error)(virErrorPtr);
	void (*error_preserve_last)(virErrorPtr *);
	void (*error_restore)(virErrorPtr *);

	identity_ptr (*identity_get_current)(void); /* NULL: nobody's */
	identity_ptr (*identity_get_system)(void);  /* libvirtd's own */
	/* 1: there is one; 0: there is none; -1: error. What is returned is the identity's. */
	int (*identity_get_user_name)(identity_ptr, const char **);
	int (*identity_get_unix_user_id)(identity_ptr, uid_t *);
	int (*identity_get_group_name)(identity_ptr, const char **);
	int (*identity_get_unix_group_id)(identity_ptr, gid_t *);
	int (*identity_get_process_id)(identity_ptr, pid_t *);
	int (*identity_get_process_time)(identity_ptr, unsigned long long *);
	int (*identity_get_sasl_user_name)(identity_ptr, const char **);
	int (*identity_get_x509_dname)(identity_ptr, const char **);
	int (*identity_get_selinux_context)(identity_ptr, const char **);
	void (*object_unref)(void *); /* g_object_unref, as identities are GObjects */

	/* Public, since 9.7: NULL where the daemon's library has none. */
	int (*network_set_metadata)(virNetworkPtr, int type, const char *metadata, const char *key, const char *uri, unsigned int flags);
	char *(*network_get_metadata)(virNetworkPtr, int type, const char *uri, unsigned int flags);
};

extern struct libvirt libvirt;

/* Finds the functions. If the version is not known, or a function is missing, it
 * returns false and says why. */
bool libvirt_load(char *why, size_t size);

#endif
