package driver

import (
	"context"
	"fmt"
	"strings"

	"github.com/virbr/virbr/xml"
)

// The kinds of metadata: libvirt's virNetworkMetadataType.
const (
	MetadataDescription = iota
	MetadataTitle
	MetadataElement // of a namespace
)

// SetMetadata sets the description, the title or the element of a namespace,
// whose prefix becomes key. nil and empty values remove it.
func (d *Driver) SetMetadata(ctx context.Context, net Ref, req MetadataRequest, key string, value *string) error {
	text := ""
	if value != nil {
		text = *value
	}
	n, v, err := d.change(ctx, net, "setting metadata of")
	if err != nil {
		return err
	}
	defer n.end()
	_, err = d.rewrite(ctx, n, v, req.Affect, edited(func(def *xml.Network) error {
		switch req.Type {
		case MetadataDescription:
			def.Description = text
		case MetadataTitle:
			if strings.Contains(text, "\n") {
				return &Error{Kind: KindInvalidArg, Msg: "metadata title can't contain newlines"}
			}
			def.Title = text
		case MetadataElement:
			return def.SetMetadata(req.URI, key, text)
		default:
			return unknownMetadata(req.Type)
		}
		return nil
	}), req.Type == MetadataElement && req.URI == xml.Namespace)
	if err != nil {
		return err
	}
	d.tellMetadata(n, req.Type, req.URI)
	return nil
}

func (d *Driver) tellMetadata(n *network, kind int, uri string) {
	if d.cfg.Events != nil {
		d.cfg.Events(Event{Kind: EventMetadata, Network: n.ref, MetadataType: kind, URI: uri})
	}
}

// Metadata returns the description, the title or the element of a namespace,
// with that namespace taken away; or an Error of KindNoMetadata.
func (d *Driver) Metadata(_ context.Context, net Ref, req MetadataRequest) (string, error) {
	_, v, err := d.find(net)
	if err != nil {
		return "", err
	}
	if req.Affect&AffectLive != 0 && req.Affect&AffectConfig != 0 {
		return "", &Error{Kind: KindInvalidArg, Msg: "metadata of the running and of the persistent definition are mutually exclusive"}
	}
	live, _, err := v.affected(req.Affect)
	if err != nil {
		return "", err
	}
	def := v.config
	if live {
		def = v.live
	}
	text := ""
	switch req.Type {
	case MetadataDescription:
		text = def.Description
	case MetadataTitle:
		text = def.Title
	case MetadataElement:
		text, _ = def.Metadata.Get(req.URI)
	default:
		return "", unknownMetadata(req.Type)
	}
	if text == "" {
		return "", &Error{Kind: KindNoMetadata, Msg: "Requested metadata element is not present"}
	}
	return text, nil
}

func unknownMetadata(kind int) error {
	return &Error{Kind: KindInvalidArg, Msg: fmt.Sprintf("unknown metadata type '%d'", kind)}
}
