/* The network driver that libvirtd gets. */
#ifndef VIRBR_NETWORK_H
#define VIRBR_NETWORK_H

#include "libvirt.h"

extern const struct network_driver network_driver;

#endif
