package delegation

import (
	"encoding/binary"
	"fmt"
)

// kind is a message's type (RFC 9915 section 7.3).
type kind byte

const (
	solicit   kind = 1
	advertise kind = 2
	request   kind = 3
	renew     kind = 5
	rebind    kind = 6
	reply     kind = 7
)

// code is an option's (RFC 9915 section 21, RFC 6603, IANA).
type code uint16

const (
	optClientID   code = 1
	optServerID   code = 2
	optORO        code = 6
	optPreference code = 7
	optElapsed    code = 8
	optStatus     code = 13
	optIAPD       code = 25
	optIAPrefix   code = 26
	optPDExclude  code = 67
	optSolMaxRT   code = 82
)

// status is a status code (RFC 9915 section 21.13).
type status uint16

const (
	success       status = 0
	noBinding     status = 3
	notOnLink     status = 4
	noPrefixAvail status = 6
)

// option appends an option to a message.
func option(msg []byte, c code, value []byte) []byte {
	msg = binary.BigEndian.AppendUint16(msg, uint16(c))
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(value)))
	return append(msg, value...)
}

// options calls each for the options of a block.
func options(data []byte, each func(code, []byte) error) error {
	for len(data) > 0 {
		if len(data) < 4 {
			return fmt.Errorf("%d bytes are left behind the last option", len(data))
		}
		c, size := code(binary.BigEndian.Uint16(data)), int(binary.BigEndian.Uint16(data[2:]))
		if data = data[4:]; size > len(data) {
			return fmt.Errorf("an option of %d bytes in %d", size, len(data))
		}
		if err := each(c, data[:size:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}
