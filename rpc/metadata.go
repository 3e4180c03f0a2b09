package rpc

import (
	"context"
	"strings"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

func (s *Server) setMetadata(ctx context.Context, rq *call, a proto.SetMetadataArgs) (wire.Message, error) {
	if err := checkSetMetadata(&a); err != nil {
		return nil, err
	}
	if err := checkFlags(a.Flags, flagsAffect, "networkSetMetadata"); err != nil {
		return nil, err
	}
	ref, affect := refOf(a.Network), driver.Affect(a.Flags)
	if err := s.allowedNetwork(ctx, rq, ref, changing(affect)...); err != nil {
		return nil, err
	}
	req := driver.MetadataRequest{Type: int(a.Type), URI: deref(a.URI), Affect: affect}
	return nil, s.cfg.Networks.SetMetadata(ctx, ref, req, deref(a.Key), a.Metadata)
}

func checkSetMetadata(a *proto.SetMetadataArgs) error {
	const function = "virNetworkSetMetadata"
	switch a.Type {
	case driver.MetadataTitle, driver.MetadataDescription:
		if a.Type == driver.MetadataTitle && a.Metadata != nil && strings.Contains(*a.Metadata, "\n") {
			return badArgument(function, "metadata", "metadata title can't contain newlines")
		}
		if err := wantNull(a.URI, function, "uri"); err != nil {
			return err
		}
		return wantNull(a.Key, function, "key")
	case driver.MetadataElement:
		if err := wantValue(a.URI, function, "uri"); err != nil {
			return err
		}
		if a.Metadata != nil {
			return wantValue(a.Key, function, "key")
		}
	}
	return nil // the driver refuses other types
}

func (s *Server) metadata(ctx context.Context, rq *call, a proto.MetadataArgs) (wire.Message, error) {
	if err := checkGetMetadata(&a); err != nil {
		return nil, err
	}
	if err := checkFlags(a.Flags, flagsAffect, "virNetworkObjGetMetadata"); err != nil {
		return nil, err
	}
	ref := refOf(a.Network)
	if err := s.allowedNetwork(ctx, rq, ref, "read"); err != nil {
		return nil, err
	}
	req := driver.MetadataRequest{Type: int(a.Type), URI: deref(a.URI), Affect: driver.Affect(a.Flags)}
	return text(s.cfg.Networks.Metadata(ctx, ref, req))
}

func checkGetMetadata(a *proto.MetadataArgs) error {
	const function = "virNetworkGetMetadata"
	if a.Flags&flagsAffect == flagsAffect {
		return badArgument(function, "ctl", "Flags '%s' and '%s' are mutually exclusive",
			"VIR_NETWORK_UPDATE_AFFECT_LIVE", "VIR_NETWORK_UPDATE_AFFECT_CONFIG")
	}
	switch a.Type {
	case driver.MetadataTitle, driver.MetadataDescription:
		return wantNull(a.URI, function, "uri")
	case driver.MetadataElement:
		return wantValue(a.URI, function, "uri")
	}
	return nil
}

func wantNull(arg *string, function, name string) error {
	if arg != nil {
		return badArgument(function, name, "%s in %s must be NULL", name, function)
	}
	return nil
}

func wantValue(arg *string, function, name string) error {
	if arg == nil {
		return badArgument(function, name, "%s in %s must not be NULL", name, function)
	}
	return nil
}

// deref returns what s points to; nil is empty.
func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
