package client

import (
	"context"
	"fmt"

	"github.com/virbr/virbr/xml"
)

// BrokenError says that extensions make no sense; see [Conn.Salvage].
type BrokenError struct{ err error }

func (e *BrokenError) Error() string { return e.err.Error() }

// Unwrap returns what makes no sense.
func (e *BrokenError) Unwrap() error { return e.err }

// Salvage removes from a network's extensions what makes no sense, and returns that:
// from its metadata or, where a daemon keeps none, from the file of src.
func (c *Conn) Salvage(ctx context.Context, n Network, affect Affect, src *Source) (removed []xml.BrokenElement, how Outcome, err error) {
	how = ByFile
	for _, one := range []Affect{AffectConfig, AffectLive} {
		if affect&one == 0 {
			continue
		}
		text, known, err := c.metadataText(ctx, n, one)
		if err != nil {
			return removed, ByMetadata, err
		}
		if !known || text == "" {
			continue
		}
		how = ByMetadata
		e, broken, err := xml.SalvageExtensions([]byte(text))
		if err != nil {
			return removed, how, fmt.Errorf("reading the extensions of network %q: %w", n.Name, err)
		}
		if len(broken) == 0 {
			continue
		}
		if err := c.setMetadata(ctx, n, one, e); err != nil {
			return removed, how, fmt.Errorf("setting the metadata of network %q: %w", n.Name, err)
		}
		removed = append(removed, broken...)
	}
	if has, err := c.HasExtensions(ctx); err != nil || has || how == ByMetadata {
		return removed, how, err
	}
	err = src.rewrite(n.Name, func() (*xml.Extensions, error) {
		text, err := src.text(n.Name)
		if err != nil || len(text) == 0 {
			return nil, err
		}
		e, broken, err := xml.SalvageExtensions(text)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", src.Path(n.Name), err)
		}
		if removed = broken; len(broken) == 0 {
			return nil, nil
		}
		return e, nil
	})
	return removed, how, err
}
