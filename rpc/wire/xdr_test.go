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

func TestEncode(t *testing.T) {
	t.Parallel()
	word := "abc"
	tests := []struct {
		name   string
		encode func(*Encoder)
		want   string
	}{
		{"int", func(e *Encoder) { e.Int32(-2) }, "fffffffe"},
		{"unsigned", func(e *Encoder) { e.Uint32(7) }, "00000007"},
		{"hyper", func(e *Encoder) { e.Int64(-1) }, "ffffffffffffffff"},
		{"unsigned hyper", func(e *Encoder) { e.Uint64(1 << 32) }, "0000000100000000"},
		{"double", func(e *Encoder) { e.Float64(1) }, "3ff0000000000000"},
		{"bool", func(e *Encoder) { e.Bool(true); e.Bool(false) }, "0000000100000000"},
		{"string with padding", func(e *Encoder) { e.String("abcde") }, "00000005 6162636465 000000"},
		{"string without", func(e *Encoder) { e.String("abcd") }, "00000004 61626364"},
		{"empty string", func(e *Encoder) { e.String("") }, "00000000"},
		{"present", func(e *Encoder) { e.OptString(&word) }, "00000001 00000003 61626300"},
		{"absent", func(e *Encoder) { e.OptString(nil) }, "00000000"},
		{"uuid", func(e *Encoder) { e.UUID([16]byte{1, 15: 2}) }, "01000000 00000000 00000000 00000002"},
		{"length", func(e *Encoder) { e.Length(3, 3) }, "00000003"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var e Encoder
			tt.encode(&e)
			got, err := e.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(tt.want, " ", ""), hex.EncodeToString(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodeLimits(t *testing.T) {
	t.Parallel()
	for name, encode := range map[string]func(*Encoder){
		"string": func(e *Encoder) { e.String(strings.Repeat("x", MaxString+1)) },
		"array":  func(e *Encoder) { e.Length(4, 3) },
		"params": func(e *Encoder) { e.Params(make([]Param, 2), 1) },
	} {
		var e Encoder
		encode(&e)
		e.Uint32(1)
		if _, err := e.Bytes(); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type message func(*Encoder)

func (m message) Encode(e *Encoder) { m(e) }

func TestFrame(t *testing.T) {
	t.Parallel()
	h := Header{Program: 0x20008086, Version: 1, Procedure: 60, Type: TypeReply, Serial: 1}
	got, err := Frame(h, message(func(e *Encoder) { e.Int32(1) }))
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
	_, err = Frame(h, message(func(e *Encoder) {
		for range 8 {
			e.String(large)
		}
	}))
	if !errors.Is(err, ErrTooBig) {
		t.Errorf("payload of 32 MiB and 32 bytes: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, input string
		decode      func(*Decoder)
	}{
		{"int of three bytes", "000000", func(d *Decoder) { d.Int32() }},
		{"hyper of seven bytes", "00000000000000", func(d *Decoder) { d.Uint64() }},
		{"string above its limit", "00400001 61", func(d *Decoder) { _ = d.String() }},
		{"string of minus one", "ffffffff 61", func(d *Decoder) { _ = d.String() }},
		{"string that is not there", "00000004 616263", func(d *Decoder) { _ = d.String() }},
		{"string without its padding", "00000003 616263", func(d *Decoder) { _ = d.String() }},
		{"optional string that is not there", "00000001", func(d *Decoder) { d.OptString() }},
		{"short uuid", "0000000000000000000000000000ff", func(d *Decoder) { d.UUID() }},
		{"array above its limit", "00000004 00000000 00000000 00000000 00000000", func(d *Decoder) { d.Length(3, 4) }},
		{"array that cannot be there", "00000003 00000000 00000000", func(d *Decoder) { d.Length(3, 4) }},
		{"array of minus one", "ffffffff 00000000", func(d *Decoder) { d.Length(math.MaxInt, 4) }},
		{"param of an unknown type", "00000001 00000001 61000000 00000008 00000000", func(d *Decoder) { d.Params(1) }},
		{"param of type 0", "00000001 00000001 61000000 00000000 00000000", func(d *Decoder) { d.Params(1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := NewDecoder(unhex(t, tt.input))
			tt.decode(d)
			if !errors.Is(d.Err(), ErrDecode) {
				t.Errorf("err %v with %d bytes left", d.Err(), d.Rest())
			}
			if d.Uint32() != 0 || d.String() != "" || d.UUID() != [16]byte{} || d.Rest() != 0 {
				t.Error("something was read after the error")
			}
		})
	}
}

// TestDecodeLenient: what libvirt's decoder forgives.
func TestDecodeLenient(t *testing.T) {
	t.Parallel()
	d := NewDecoder(unhex(t, "01000000 00000001 61ffffff 00000004 61006263 00000002 ff80aaaa"))
	if s := d.OptString(); s == nil || *s != "a" {
		t.Errorf("presence 0x01000000 and padding of ones: %v", s)
	}
	if s := d.String(); s != "a" {
		t.Errorf("embedded NUL: %q", s)
	}
	if s := d.String(); s != "\xff\x80" {
		t.Errorf("not UTF-8: %q", s)
	}
	if d.Err() != nil || d.Rest() != 0 {
		t.Errorf("err %v, %d bytes left", d.Err(), d.Rest())
	}
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
	var e Encoder
	e.Params(allParams(), 7)
	b, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(b)
	if diff := cmp.Diff(allParams(), d.Params(7)); diff != "" || d.Err() != nil || d.Rest() != 0 {
		t.Errorf("err %v, %d bytes left (-want +got):\n%s", d.Err(), d.Rest(), diff)
	}
	if NewDecoder(b).Params(6) != nil {
		t.Error("more parameters than the limit were read")
	}
}

func FuzzParams(f *testing.F) {
	var e Encoder
	e.Params(allParams(), 7)
	f.Add(e.buf)
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(data)
		params := d.Params(20)
		if d.Err() != nil {
			return
		}
		var e Encoder
		e.Params(params, 20)
		b, err := e.Bytes()
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		again := NewDecoder(b)
		if diff := cmp.Diff(params, again.Params(20)); diff != "" || again.Err() != nil || again.Rest() != 0 {
			t.Errorf("err %v, %d bytes left (-first +second):\n%s", again.Err(), again.Rest(), diff)
		}
	})
}
