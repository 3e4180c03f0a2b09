package proto

// The remote program.
const (
	Program = 0x20008086
	Version = 1
)

// The keepalive program, which lives below authentication (virkeepaliveprotocol.x).
const (
	KeepaliveProgram = 0x6b656570
	KeepaliveVersion = 1
	KeepalivePing    = 1
	KeepalivePong    = 2
)

// Last is the highest procedure number of libvirt 11.3.
const Last = 453

// The procedures that a network driver serves: libvirt's REMOTE_PROC_*.
const (
	ConnectOpen                          = 1
	ConnectClose                         = 2
	ConnectGetType                       = 3
	ConnectListDefinedNetworks           = 36
	ConnectListNetworks                  = 38
	NetworkCreate                        = 39
	NetworkCreateXML                     = 40
	NetworkDefineXML                     = 41
	NetworkDestroy                       = 42
	NetworkGetXMLDesc                    = 43
	NetworkGetAutostart                  = 44
	NetworkGetBridgeName                 = 45
	NetworkLookupByName                  = 46
	NetworkLookupByUUID                  = 47
	NetworkSetAutostart                  = 48
	NetworkUndefine                      = 49
	ConnectNumOfDefinedNetworks          = 50
	ConnectNumOfNetworks                 = 52
	ConnectSupportsFeature               = 60
	AuthList                             = 66
	AuthSASLInit                         = 67
	AuthSASLStart                        = 68
	AuthSASLStep                         = 69
	AuthPolkit                           = 70
	ConnectDomainEventDeregister         = 106
	ConnectGetURI                        = 110
	ConnectIsSecure                      = 149
	NetworkIsActive                      = 152
	NetworkIsPersistent                  = 153
	ConnectGetLibVersion                 = 157
	DomainMemoryStats                    = 159
	ConnectDomainEventDeregisterAny      = 168
	DomainOpenGraphics                   = 249
	ConnectListAllNetworks               = 283
	NetworkUpdate                        = 291
	ConnectNetworkEventRegister          = 313
	ConnectNetworkEventDeregister        = 314
	NetworkEventLifecycle                = 315
	ConnectDomainEventCallbackDeregister = 317
	NetworkGetDHCPLeases                 = 341
	ConnectRegisterCloseCallback         = 360
	ConnectUnregisterCloseCallback       = 361
	NetworkListAllPorts                  = 404
	NetworkPortLookupByUUID              = 405
	NetworkPortCreateXML                 = 406
	NetworkPortGetParameters             = 407
	NetworkPortSetParameters             = 408
	NetworkPortGetXMLDesc                = 409
	NetworkPortDelete                    = 410
	ConnectSetIdentity                   = 419
	NetworkDefineXMLFlags                = 432
	NetworkCreateXMLFlags                = 437
	NetworkSetMetadata                   = 444
	NetworkGetMetadata                   = 445
	NetworkEventMetadataChange           = 446
)

// Limits on arrays (remote_protocol.x).
const (
	MaxNames          = 16384 // networks or ports of one reply
	MaxLeases         = 65536
	MaxAuthTypes      = 20
	MaxIdentityParams = 20
	MaxPortParams     = 16
)

// The features that ConnectSupportsFeature is asked for: libvirt's
// virDrvFeature. Those that are missing here concern domains.
const (
	FeatureFDPassing           = 8
	FeatureTypedParamString    = 9
	FeatureKeepalive           = 10
	FeatureRemoteEventCallback = 14
	FeatureRemoteCloseCallback = 15
	FeatureUpdateOrder         = 16
	FeatureExtensions          = ExtensionProgram // ours: the extension program is served
)

// The answers to AuthList: libvirt's remote_auth_type.
const (
	AuthTypeNone   = 0
	AuthTypeSASL   = 1
	AuthTypePolkit = 2
)

// OpenReadOnly is the flag of ConnectOpen that makes a connection read-only.
const OpenReadOnly = 1

// The ids of network events.
const (
	EventIDLifecycle = 0
	EventIDMetadata  = 1
)
