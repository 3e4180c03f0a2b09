package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// frameOf returns a frame with a length word of our choice.
func frameOf(length uint32, h Header, payload []byte) []byte {
	b := make([]byte, HeaderSize, HeaderSize+len(payload))
	h.put(b)
	binary.BigEndian.PutUint32(b, length)
	return append(b, payload...)
}

func never() error { return errors.New("a small payload was taken for a large one") }

func TestReaderLengths(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		input []byte
		want  error
	}{
		{"end between frames", nil, io.EOF},
		{"end within the length", []byte{0, 0}, io.ErrUnexpectedEOF},
		{"length 0", []byte{0, 0, 0, 0}, ErrLength},
		{"length 3", []byte{0, 0, 0, 3}, ErrLength},
		{"length of nothing but itself", []byte{0, 0, 0, 4}, ErrLength},
		{"above the maximum", []byte{2, 0, 0, 5}, ErrLength},
		{"all ones", []byte{0xff, 0xff, 0xff, 0xff}, ErrLength},
		{"shorter than a header, all there", append([]byte{0, 0, 0, 27}, make([]byte, 23)...), ErrLength},
		{"shorter than a header, not all there", append([]byte{0, 0, 0, 27}, make([]byte, 22)...), io.ErrUnexpectedEOF},
		{"end within the header", frameOf(28, Header{}, nil)[:20], io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := NewReader(bytes.NewReader(tt.input)).Header()
			if !errors.Is(err, tt.want) {
				t.Errorf("Header: %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReaderFrames(t *testing.T) {
	t.Parallel()
	headers := []Header{
		{Program: 0x20008086, Version: 1, Procedure: 66},
		{Program: 1, Version: 2, Procedure: -1, Type: TypeMessage, Serial: 0xffffffff, Status: StatusContinue},
		{Program: 3},
	}
	payloads := [][]byte{nil, bytes.Repeat([]byte("data"), 5000), []byte("last")}
	var stream []byte
	for i, h := range headers {
		stream = append(stream, frameOf(uint32(HeaderSize+len(payloads[i])), h, payloads[i])...)
	}
	for name, input := range map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(input)
			for i, want := range headers {
				h, n, err := r.Header()
				if err != nil || h != want || n != len(payloads[i]) {
					t.Fatalf("frame %d: %+v, %d bytes, %v", i, h, n, err)
				}
				payload, err := r.Payload(MaxPayload, MaxPayload, never)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if diff := cmp.Diff(string(payloads[i]), string(payload)); diff != "" {
					t.Errorf("frame %d (-want +got):\n%s", i, diff)
				}
			}
			if _, _, err := r.Header(); err != io.EOF {
				t.Errorf("after the last frame: %v", err)
			}
		})
	}
}

// TestReaderSkips: a payload that was cut or not read leaves no trace.
func TestReaderSkips(t *testing.T) {
	t.Parallel()
	first := frameOf(HeaderSize+10000, Header{Serial: 1}, bytes.Repeat([]byte{1}, 10000))
	second := frameOf(HeaderSize+8, Header{Serial: 2}, []byte("not read"))
	third := frameOf(HeaderSize, Header{Serial: 3}, nil)
	r := NewReader(bytes.NewReader(append(append(first, second...), third...)))
	if _, _, err := r.Header(); err != nil {
		t.Fatal(err)
	}
	payload, err := r.Payload(100, 50, func() error { return nil })
	if err != nil || len(payload) != 100 {
		t.Errorf("cut payload: %d bytes, %v", len(payload), err)
	}
	for _, want := range []uint32{2, 3} {
		if h, _, err := r.Header(); err != nil || h.Serial != want {
			t.Errorf("next frame: serial %d, %v, want %d", h.Serial, err, want)
		}
	}
}

// miser gives bytes a few at a time and notes the largest buffer that it was
// offered in proportion to what it had given before.
type miser struct {
	data    []byte
	given   int
	offered int // largest buffer beyond what was given already
}

func (m *miser) Read(p []byte) (int, error) {
	if m.given == len(m.data) {
		return 0, io.EOF
	}
	m.offered = max(m.offered, len(p)-m.given)
	n := copy(p, m.data[m.given:min(len(m.data), m.given+100)])
	m.given += n
	return n, nil
}

// TestReaderClaims: memory is claimed as bytes come, not as they are promised.
func TestReaderClaims(t *testing.T) {
	t.Parallel()
	for _, sent := range []int{0, 1, 5000, 300000} {
		m := &miser{data: frameOf(MaxFrame, Header{}, make([]byte, sent))}
		r := NewReader(m)
		if _, n, err := r.Header(); err != nil || n != MaxPayload {
			t.Fatalf("Header: %d, %v", n, err)
		}
		_, err := r.Payload(MaxPayload, 1<<16, func() error { return nil })
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes sent: %v", sent, err)
		}
		if m.offered > firstPiece {
			t.Errorf("%d bytes sent: a buffer of %d bytes more was ready", sent, m.offered)
		}
	}
}

// TestReaderAsks: more than the small size needs permission, once.
func TestReaderAsks(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for _, tt := range []struct {
		size, asked int
		answer      error
	}{
		{1 << 16, 0, refused},
		{1<<16 + 4, 1, nil},
		{1 << 20, 1, nil},
		{1 << 20, 1, refused},
	} {
		r := NewReader(bytes.NewReader(frameOf(uint32(HeaderSize+tt.size), Header{}, make([]byte, tt.size))))
		if _, _, err := r.Header(); err != nil {
			t.Fatal(err)
		}
		asked := 0
		payload, err := r.Payload(MaxPayload, 1<<16, func() error { asked++; return tt.answer })
		if asked != tt.asked {
			t.Errorf("%d bytes: asked %d times", tt.size, asked)
		}
		if wantErr := asked > 0 && tt.answer != nil; wantErr != (err != nil) || (err == nil && len(payload) != tt.size) {
			t.Errorf("%d bytes: got %d, %v", tt.size, len(payload), err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(frameOf(HeaderSize, Header{Program: 0x20008086, Version: 1, Procedure: 66}, nil))
	f.Add(frameOf(HeaderSize+4, Header{Type: TypeCallWithFDs}, []byte{0, 0, 0, 1}))
	f.Add(frameOf(MaxFrame, Header{}, []byte{1}))
	f.Add([]byte{0, 0, 0, 5, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data))
		var again []byte
		for {
			h, _, err := r.Header()
			if err != nil {
				break
			}
			payload, err := r.Payload(MaxPayload, 1<<16, func() error { return nil })
			if err != nil {
				break
			}
			again = append(again, frameOf(uint32(HeaderSize+len(payload)), h, payload)...)
		}
		if !bytes.HasPrefix(data, again) {
			t.Errorf("the frames that were read are not those that were sent")
		}
	})
}
