package relaxng

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// datum is a set of strings: a data or value pattern.
type datum interface {
	match(s string) bool
	String() string // for people
}

// datatype is the lexical side of a data type.
type datatype struct {
	keep     bool   // white space counts
	words    string // regular expression; "": anything
	min, max string // decimal bounds of an integer type, "" for none
	integer  bool
	is       string
}

// xsdTypes are the data types of XML Schema part 2 that schemas may use.
var xsdTypes = map[string]datatype{
	"string":             {keep: true, is: "text"},
	"token":              {is: "text"},
	"anyURI":             {is: "a URI"},
	"NCName":             {words: `^[\pL_][\pL\pM\pN._\-]*$`, is: "a name"},
	"integer":            {integer: true, is: "a number"},
	"nonNegativeInteger": {integer: true, min: "0", is: "a number that is not negative"},
	"positiveInteger":    {integer: true, min: "1", is: "a number above zero"},
	"unsignedLong":       {integer: true, min: "0", max: "18446744073709551615", is: "a number that is not negative"},
	"unsignedInt":        {integer: true, min: "0", max: "4294967295", is: "a number from 0 to 4294967295"},
	"unsignedShort":      {integer: true, min: "0", max: "65535", is: "a number from 0 to 65535"},
	"unsignedByte":       {integer: true, min: "0", max: "255", is: "a number from 0 to 255"},
}

// builtinTypes are those of RELAX NG itself (specification, section 6.2.8).
var builtinTypes = map[string]datatype{
	"string": {keep: true, is: "text"},
	"token":  {is: "text"},
}

func (t datatype) space(s string) string {
	if t.keep {
		return s
	}
	return strings.Join(words(s), " ")
}

// valueOf is a value pattern: one string.
type valueOf struct {
	datatype
	want string
}

func (v valueOf) match(s string) bool {
	s = v.space(s)
	if v.integer {
		return decimal(s) && compare(s, v.want) == 0
	}
	return s == v.want
}

func (v valueOf) String() string { return strconv.Quote(v.want) }

// dataOf is a data pattern: the strings of a type within its params.
type dataOf struct {
	datatype
	is       string // the schema's own words; "": the type's
	words    *regexp.Regexp
	patterns []*regexp.Regexp
	min, max int // length in characters; max -1: any
	except   []datum
}

func newData(t datatype) (*dataOf, error) {
	d := &dataOf{datatype: t, max: -1}
	if t.words == "" {
		return d, nil
	}
	re, err := regexp.Compile(t.words)
	d.words = re
	return d, err
}

// param adds a facet (XML Schema part 2, section 4.3).
func (d *dataOf) param(name, value string) error {
	switch name {
	case "pattern":
		re, err := xsdPattern(value)
		d.patterns = append(d.patterns, re)
		return err
	case "minInclusive", "maxInclusive":
		if !d.integer || !decimal(value) {
			return fmt.Errorf("param %s=%q of a type that is no integer", name, value)
		}
		if name == "minInclusive" {
			d.datatype.min = value
		} else {
			d.datatype.max = value
		}
		return nil
	case "length", "minLength", "maxLength":
		n, err := strconv.Atoi(value)
		if name != "maxLength" {
			d.min = n
		}
		if name != "minLength" {
			d.max = n
		}
		return err
	}
	return fmt.Errorf("param %q is not served", name)
}

func (d *dataOf) match(s string) bool {
	s = d.space(s)
	if d.integer && !d.inRange(s) || d.words != nil && !d.words.MatchString(s) {
		return false
	}
	if n := utf8.RuneCountInString(s); n < d.min || d.max >= 0 && n > d.max {
		return false
	}
	for _, re := range d.patterns {
		if !re.MatchString(s) {
			return false
		}
	}
	for _, e := range d.except {
		if e.match(s) {
			return false
		}
	}
	return true
}

func (d *dataOf) inRange(s string) bool {
	return decimal(s) &&
		(d.datatype.min == "" || compare(s, d.datatype.min) >= 0) &&
		(d.datatype.max == "" || compare(s, d.datatype.max) <= 0)
}

func (d *dataOf) String() string {
	switch t := d.datatype; {
	case d.is != "":
		return d.is
	case d.integer && t.min != "" && t.max != "":
		return fmt.Sprintf("a number from %s to %s", t.min, t.max)
	default:
		return t.is
	}
}

// decimal reports whether s is an integer: digits after an optional sign.
func decimal(s string) bool {
	digits := strings.TrimLeft(s, "+-")
	return len(s)-len(digits) <= 1 && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// compare orders two decimals of any length.
func compare(a, b string) int {
	na, da := magnitude(a)
	nb, db := magnitude(b)
	switch {
	case na && !nb:
		return -1
	case nb && !na:
		return 1
	case na:
		da, db = db, da
	}
	if len(da) != len(db) {
		return len(da) - len(db)
	}
	return strings.Compare(da, db)
}

// magnitude splits a decimal into its sign and its digits without zeros before.
func magnitude(s string) (negative bool, digits string) {
	digits = strings.TrimLeft(strings.TrimLeft(s, "+-"), "0")
	return strings.HasPrefix(s, "-") && digits != "", digits
}

// xsdPattern compiles a regular expression of XML Schema (part 2, appendix F).
// What Go's syntax lacks or reads differently is refused, not misread.
func xsdPattern(s string) (*regexp.Regexp, error) {
	class := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			if !strings.ContainsRune(`\|.-^?*+{}()[]nrt`, rune(s[i])) {
				return nil, fmt.Errorf("pattern %q: escape \\%c is not served", s, s[i])
			}
		case class && c == '[':
			return nil, fmt.Errorf("pattern %q: subtraction of classes is not served", s)
		case c == '[':
			class = true
		case c == ']':
			class = false
		case !class && (c == '^' || c == '$' || c == '.'):
			return nil, fmt.Errorf("pattern %q: a bare %q is not served", s, c)
		case !class && c == '?' && i > 0 && (s[i-1] == '(' || s[i-1] == '*' || s[i-1] == '+' || s[i-1] == '?' || s[i-1] == '}'):
			return nil, fmt.Errorf("pattern %q: %q is not served", s, s[i-1:i+1])
		}
	}
	return regexp.Compile(`\A(?:` + s + `)\z`)
}

// hinted is a choice of data that the schema describes in one go.
type hinted struct {
	is  string
	any []datum
}

func (h hinted) match(s string) bool {
	for _, d := range h.any {
		if d.match(s) {
			return true
		}
	}
	return false
}

func (h hinted) String() string { return h.is }
