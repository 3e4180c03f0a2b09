package wire

// ParamType is the type of a typed parameter: libvirt's virTypedParameterType.
type ParamType int32

// The types of typed parameters.
const (
	ParamInt ParamType = 1 + iota
	ParamUint
	ParamLlong
	ParamUllong
	ParamDouble
	ParamBoolean
	ParamString
)

// String returns libvirt's name for the type, as it stands in messages.
func (t ParamType) String() string {
	switch t {
	case ParamInt:
		return "int"
	case ParamUint:
		return "uint"
	case ParamLlong:
		return "llong"
	case ParamUllong:
		return "ullong"
	case ParamDouble:
		return "double"
	case ParamBoolean:
		return "boolean"
	case ParamString:
		return "string"
	}
	return "unknown"
}

// MaxParamField is how long the name of a typed parameter may be, in bytes.
// The decoder does not enforce it, because libvirt has an error of its own for
// it.
const MaxParamField = 79

// Param is one typed parameter. Number holds the value of every type but
// ParamString: int, llong and boolean sign extended, a double as its bits.
type Param struct {
	Field  string
	Type   ParamType
	Number uint64
	Text   string
}

// Params encodes a list of at most limit typed parameters.
func (e *Encoder) Params(params []Param, limit int) {
	e.Length(len(params), limit)
	for i := range params {
		params[i].encode(e)
	}
}

func (p *Param) encode(e *Encoder) {
	e.String(p.Field)
	e.Int32(int32(p.Type))
	switch p.Type {
	case ParamInt, ParamUint, ParamBoolean:
		e.Uint32(uint32(p.Number))
	case ParamLlong, ParamUllong, ParamDouble:
		e.Uint64(p.Number)
	case ParamString:
		e.String(p.Text)
	}
}

// Params decodes a list of at most limit typed parameters.
func (d *Decoder) Params(limit int) []Param {
	const smallest = 12 // empty name, type, 4 bytes of value
	n := d.Length(limit, smallest)
	if n == 0 {
		return nil
	}
	params := make([]Param, n)
	for i := range params {
		params[i].decode(d)
	}
	if d.err != nil {
		return nil
	}
	return params
}

func (p *Param) decode(d *Decoder) {
	p.Field = d.String()
	p.Type = ParamType(d.Int32())
	switch p.Type {
	case ParamInt, ParamBoolean:
		p.Number = uint64(int64(d.Int32()))
	case ParamUint:
		p.Number = uint64(d.Uint32())
	case ParamLlong, ParamUllong, ParamDouble:
		p.Number = d.Uint64()
	case ParamString:
		p.Text = d.String()
	default:
		d.Fail()
	}
}
