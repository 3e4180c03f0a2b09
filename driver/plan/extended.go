package plan

import (
	"slices"

	"github.com/virbr/virbr/xml"
)

// Extended returns a definition in which the elements of its metadata have effect
// that may also stand in the network itself, and the extensions. What is given in
// both places counts as it stands in the network: so it is in what a running
// network prints of itself. The result shares the definition's metadata.
func Extended(def *xml.Network) (*xml.Network, *xml.Extensions, error) {
	ext, err := def.Extensions()
	if err != nil {
		return nil, nil, err
	}
	own := *ext
	if def.Advertise != nil {
		own.Advertise = nil
	}
	if own.Auto {
		own.Auto = !slices.ContainsFunc(def.IPs, func(ip xml.IP) bool { return ip.Auto || ip.Address.Is4() })
	}
	if def.Bridge.Create {
		own.Create = false
	}
	if own.Advertise == nil && !own.Auto && !own.Create {
		return def, ext, nil
	}
	draft := *def
	own.Forwards, own.Publics, own.Uplinks, own.Firewall = nil, nil, nil, xml.Firewall{}
	if err := draft.SetExtensions(&own); err != nil {
		return nil, nil, err
	}
	made, err := draft.Extended()
	if err != nil {
		return nil, nil, err
	}
	made.Metadata = def.Metadata
	return made, ext, made.Validate()
}
