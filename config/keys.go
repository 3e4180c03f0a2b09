package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// read returns a file's text, capped. With optional a missing file is empty.
func read(path string, optional bool) ([]byte, error) {
	f, err := os.Open(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading configuration %q: %w", path, err)
	}
	return data, nil
}

// keys takes typed values out of a file and gathers every complaint.
type keys struct {
	file *File
	used []string
	errs []error
}

func open(path string, optional bool) (*keys, error) {
	data, err := read(path, optional)
	if err != nil {
		return nil, err
	}
	f, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	return &keys{file: f}, nil
}

func (k *keys) refuse(line int, key, format string, args ...any) {
	k.errs = append(k.errs, errorAt(k.file.Name, line, "%s: %s", key, fmt.Sprintf(format, args...)))
}

// err returns all complaints, nil if there are none.
func (k *keys) err() error { return errors.Join(k.errs...) }

// lookup finds a key of the wanted kind.
func (k *keys) lookup(key string, kind Kind) (Value, bool) {
	k.used = append(k.used, key)
	v, ok := k.file.Lookup(key)
	if ok && v.Kind != kind {
		k.refuse(v.Line, key, "%v was wanted, this is %v", kind, v.Kind)
		return Value{}, false
	}
	return v, ok
}

// number reads a count within limits.
func (k *keys) number(key string, into *int, low, high int64) {
	v, ok := k.lookup(key, KindNumber)
	if !ok {
		return
	}
	if v.Number < low || v.Number > high {
		k.refuse(v.Line, key, "%d is not within %d and %d", v.Number, low, high)
		return
	}
	*into = int(v.Number)
}

// seconds reads a time span.
func (k *keys) seconds(key string, into *time.Duration, low, high int64) {
	n := int(*into / time.Second)
	k.number(key, &n, low, high)
	*into = time.Duration(n) * time.Second
}

// text reads a string.
func (k *keys) text(key string, into *string) (line int, ok bool) {
	v, ok := k.lookup(key, KindString)
	if ok {
		*into = v.Text
	}
	return v.Line, ok
}

// path reads an absolute path.
func (k *keys) path(key string, into *string) {
	line, ok := k.text(key, into)
	if ok && (!strings.HasPrefix(*into, "/") || strings.ContainsFunc(*into, isControl)) {
		k.refuse(line, key, "%q is not an absolute path", *into)
	}
}

// maxSocket is how long the path of a unix socket may be: struct sockaddr_un,
// with the final zero.
const maxSocket = 107

// address reads a unix socket, "unix:/path", or a loopback address with a port,
// "127.0.0.1:9477". What is served there is not for other hosts.
func (k *keys) address(key string, into *Address) {
	var text string
	line, ok := k.text(key, &text)
	if !ok || text == "" {
		return
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !strings.HasPrefix(path, "/") || len(path) > maxSocket || strings.ContainsFunc(path, isControl) {
			k.refuse(line, key, "%q is not the absolute path of a socket, of %d bytes at most", path, maxSocket)
			return
		}
		into.Path = path
		return
	}
	at, err := netip.ParseAddrPort(text)
	switch {
	case err != nil || at.Port() == 0:
		k.refuse(line, key, `%q is neither "unix:/path" nor an address and port such as "127.0.0.1:9477"`, text)
	case !at.Addr().IsLoopback() || at.Addr().Zone() != "":
		k.refuse(line, key, "%s is not a loopback address: metrics are not served to other hosts; have a proxy in front that knows who asks", at.Addr())
	default:
		into.TCP = at
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// perms reads a socket's permissions: an octal number in a string, as libvirt
// writes it.
func (k *keys) perms(key string, into *fs.FileMode) bool {
	v, ok := k.lookup(key, KindString)
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(v.Text, 8, 32)
	if err != nil || n > 0o777 {
		k.refuse(v.Line, key, `%q is not a set of permissions such as "0770"`, v.Text)
		return false
	}
	*into = fs.FileMode(n)
	return true
}

// strings reads a list.
func (k *keys) strings(key string, into *[]string) (line int) {
	v, ok := k.lookup(key, KindList)
	if ok {
		*into = v.List
	}
	return v.Line
}

// prefixes reads a list of address prefixes that pass a test; wanted says which
// do. other takes words that are none; nil: there are no such.
func (k *keys) prefixes(key string, into *[]netip.Prefix, wanted string, fits func(netip.Prefix) bool, other func(string) bool) {
	var words []string
	line := k.strings(key, &words)
	for _, word := range words {
		if other != nil && other(word) {
			continue
		}
		p, err := netip.ParsePrefix(word)
		if err != nil || p != p.Masked() || !fits(p) {
			k.refuse(line, key, "%q is not %s", word, wanted)
			continue
		}
		*into = append(*into, p)
	}
}

// refuseUnknown complains about every key that was not asked for. elsewhere
// names the file that each known foreign key belongs to.
func (k *keys) refuseUnknown(elsewhere map[string]string) {
	for _, e := range k.file.Entries {
		if slices.Contains(k.used, e.Key) {
			continue
		}
		if file, ok := elsewhere[e.Key]; ok {
			k.refuse(e.Line, e.Key, "this key belongs into %s", file)
			continue
		}
		if near := nearest(e.Key, k.used); near != "" {
			k.refuse(e.Line, e.Key, "unknown key; did you mean %s?", near)
			continue
		}
		k.refuse(e.Line, e.Key, "unknown key; known are %s", strings.Join(k.used, ", "))
	}
}

// nearest returns the word that differs least from key, "" if none is near.
func nearest(key string, words []string) string {
	best, limit := "", len(key)/3+1
	for _, w := range words {
		if d := distance(key, w); d < limit {
			best, limit = w, d
		}
	}
	return best
}

// distance is the number of single-byte edits between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
