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

// Params is a list of at most limit typed parameters.
func (c *Codec) Params(v *[]Param, limit int) {
	const smallest = 12 // empty name, type, 4 bytes of value
	List(c, v, limit, smallest, (*Param).XDR)
	if c.reading && (c.err != nil || len(*v) == 0) {
		*v = nil
	}
}

// XDR is the parameter's encoding.
func (p *Param) XDR(c *Codec) {
	c.String(&p.Field)
	c.Int32((*int32)(&p.Type))
	switch p.Type {
	case ParamInt, ParamUint, ParamBoolean:
		number := uint32(p.Number)
		c.Uint32(&number)
		switch {
		case !c.reading:
		case p.Type == ParamUint:
			p.Number = uint64(number)
		default:
			p.Number = uint64(int64(int32(number)))
		}
	case ParamLlong, ParamUllong, ParamDouble:
		c.Uint64(&p.Number)
	case ParamString:
		c.String(&p.Text)
	default:
		if c.reading {
			c.undecodable()
		}
	}
}
