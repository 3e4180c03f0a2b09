package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// message is one that a function codes.
type message func(*Codec)

func (m message) XDR(c *Codec) { m(c) }

func ptr[T any](v T) *T { return &v }

// numbers codes a list of ints.
func numbers(list []int32, limit, size int) message {
	return func(c *Codec) { List(c, &list, limit, size, func(v *int32, c *Codec) { c.Int32(v) }) }
}

func TestEncode(t *testing.T) {
	t.Parallel()
	var word, absent *string = ptr("abc"), nil
	tests := []struct {
		name   string
		encode message
		want   string
	}{
		{"int", func(c *Codec) { c.Int32(ptr(int32(-2))) }, "fffffffe"},
		{"unsigned", func(c *Codec) { c.Uint32(ptr(uint32(7))) }, "00000007"},
		{"hyper", func(c *Codec) { c.Int64(ptr(int64(-1))) }, "ffffffffffffffff"},
		{"unsigned hyper", func(c *Codec) { c.Uint64(ptr(uint64(1 << 32))) }, "0000000100000000"},
		{"bool", func(c *Codec) { c.Bool(ptr(true)); c.Bool(ptr(false)) }, "0000000100000000"},
		{"string with padding", func(c *Codec) { c.String(ptr("abcde")) }, "00000005 6162636465 000000"},
		{"string without", func(c *Codec) { c.String(ptr("abcd")) }, "00000004 61626364"},
		{"empty string", func(c *Codec) { c.String(ptr("")) }, "00000000"},
		{"present", func(c *Codec) { c.OptString(&word) }, "00000001 00000003 61626300"},
		{"absent", func(c *Codec) { c.OptString(&absent) }, "00000000"},
		{"uuid", func(c *Codec) { c.UUID(&[16]byte{1, 15: 2}) }, "01000000 00000000 00000000 00000002"},
		{"list", numbers([]int32{1, 2, 3}, 3, 4), "00000003 00000001 00000002 00000003"},
		{"strings", func(c *Codec) { c.Strings(&[]string{"a"}, 1) }, "00000001 00000001 61000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Frame(Header{}, tt.encode)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(tt.want, " ", ""), hex.EncodeToString(got[HeaderSize:])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodeLimits(t *testing.T) {
	t.Parallel()
	params := make([]Param, 2)
	for name, encode := range map[string]message{
		"string": func(c *Codec) { c.String(ptr(strings.Repeat("x", MaxString+1))) },
		"list":   numbers(make([]int32, 4), 3, 4),
		"params": func(c *Codec) { c.Params(&params, 1) },
	} {
		_, err := Frame(Header{}, message(func(c *Codec) {
			encode(c)
			c.Uint32(ptr(uint32(1)))
		}))
		if !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	h := Header{Program: 0x20008086, Version: 1, Procedure: 60, Type: TypeReply, Serial: 1}
	got, err := Frame(h, message(func(c *Codec) { c.Int32(ptr(int32(1))) }))
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "00000020 20008086 00000001 0000003c 00000001 00000001 00000000 00000001")
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if void, err := Frame(h, nil); err != nil || len(void) != HeaderSize {
		t.Errorf("void payload: %d bytes, %v", len(void), err)
	}
	large := strings.Repeat("x", MaxString)
	_, err = Frame(h, message(func(c *Codec) {
		for range 8 {
			c.String(&large)
		}
	}))
	if !errors.Is(err, ErrTooBig) {
		t.Errorf("payload of 32 MiB and 32 bytes: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	var (
		word     string
		optional *string
		params   []Param
	)
	tests := []struct {
		name, input string
		decode      message
	}{
		{"int of three bytes", "000000", func(c *Codec) { c.Int32(new(int32)) }},
		{"hyper of seven bytes", "00000000000000", func(c *Codec) { c.Uint64(new(uint64)) }},
		{"string above its limit", "00400001 61", func(c *Codec) { c.String(new(string)) }},
		{"string of minus one", "ffffffff 61", func(c *Codec) { c.String(new(string)) }},
		{"string that is not there", "00000004 616263", func(c *Codec) { c.String(new(string)) }},
		{"string without its padding", "00000003 616263", func(c *Codec) { c.String(new(string)) }},
		{"optional string that is not there", "00000001", func(c *Codec) { c.OptString(&optional) }},
		{"short uuid", "0000000000000000000000000000ff", func(c *Codec) { c.UUID(new([16]byte)) }},
		{"list above its limit", "00000004 00000000 00000000 00000000 00000000", numbers(nil, 3, 4)},
		{"list that cannot be there", "00000003 00000000 00000000", numbers(nil, 3, 4)},
		{"list of minus one", "ffffffff 00000000", numbers(nil, math.MaxInt, 4)},
		{"param of an unknown type", "00000001 00000001 61000000 00000008 00000000", func(c *Codec) { c.Params(&params, 1) }},
		{"param of type 0", "00000001 00000001 61000000 00000000 00000000", func(c *Codec) { c.Params(&params, 1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			number, uuid := uint32(1), [16]byte{1}
			word = "word"
			rest, err := Decode(unhex(t, tt.input), message(func(c *Codec) {
				tt.decode(c)
				c.Uint32(&number)
				c.String(&word)
				c.UUID(&uuid)
			}))
			if !errors.Is(err, ErrDecode) {
				t.Errorf("err %v with %d bytes left", err, rest)
			}
			if number != 0 || word != "" || uuid != [16]byte{} || rest != 0 {
				t.Error("something was read after the error")
			}
		})
	}
}

// TestDecodeLenient: what libvirt's decoder forgives.
func TestDecodeLenient(t *testing.T) {
	t.Parallel()
	var optional *string
	var cut, bytes string
	rest, err := Decode(unhex(t, "01000000 00000001 61ffffff 00000004 61006263 00000002 ff80aaaa"), message(func(c *Codec) {
		c.OptString(&optional)
		c.String(&cut)
		c.String(&bytes)
	}))
	if optional == nil || *optional != "a" {
		t.Errorf("presence 0x01000000 and padding of ones: %v", optional)
	}
	if cut != "a" {
		t.Errorf("embedded NUL: %q", cut)
	}
	if bytes != "\xff\x80" {
		t.Errorf("not UTF-8: %q", bytes)
	}
	if err != nil || rest != 0 {
		t.Errorf("err %v, %d bytes left", err, rest)
	}
}

// paramList is a message of nothing but typed parameters.
type paramList struct {
	limit int
	list  []Param
}

func (p *paramList) XDR(c *Codec) { c.Params(&p.list, p.limit) }

func encodeParams(t testing.TB, list []Param) []byte {
	t.Helper()
	b, err := Frame(Header{}, &paramList{20, list})
	if err != nil {
		t.Fatal(err)
	}
	return b[HeaderSize:]
}

func allParams() []Param {
	return []Param{
		{Field: "i", Type: ParamInt, Number: math.MaxUint64},
		{Field: "u", Type: ParamUint, Number: math.MaxUint32},
		{Field: "l", Type: ParamLlong, Number: 1 << 63},
		{Field: "ul", Type: ParamUllong, Number: math.MaxUint64},
		{Field: "d", Type: ParamDouble, Number: math.Float64bits(-0.5)},
		{Field: "b", Type: ParamBoolean, Number: 1},
		{Field: "s", Type: ParamString, Text: "text"},
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	b := encodeParams(t, allParams())
	got := paramList{limit: 7}
	rest, err := Decode(b, &got)
	if diff := cmp.Diff(allParams(), got.list); diff != "" || err != nil || rest != 0 {
		t.Errorf("err %v, %d bytes left (-want +got):\n%s", err, rest, diff)
	}
	few := paramList{limit: 6}
	if _, err := Decode(b, &few); err == nil || few.list != nil {
		t.Error("more parameters than the limit were read")
	}
}

func FuzzParams(f *testing.F) {
	f.Add(encodeParams(f, allParams()))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		first, second := paramList{limit: 20}, paramList{limit: 20}
		if _, err := Decode(data, &first); err != nil {
			return
		}
		rest, err := Decode(encodeParams(t, first.list), &second)
		if diff := cmp.Diff(first.list, second.list); diff != "" || err != nil || rest != 0 {
			t.Errorf("err %v, %d bytes left (-first +second):\n%s", err, rest, diff)
		}
	})
}
