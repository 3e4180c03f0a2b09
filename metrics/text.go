package metrics

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// kind is the type of a metric.
type kind string

// The kinds of metrics. A counter's name ends in _total.
const (
	gauge     kind = "gauge"
	counter   kind = "counter"
	histogram kind = "histogram"
)

// label is one label of a series.
type label struct{ name, value string }

// text is a document in Prometheus' text format.
type text struct{ bytes.Buffer }

// family begins a metric: what follows are its series, one after the other.
func (t *text) family(name string, k kind, help string) {
	t.WriteString("# HELP " + name + " " + helpEscapes.Replace(help) + "\n# TYPE " + name + " " + string(k) + "\n")
}

// The format escapes little, and in a help text less.
var (
	helpEscapes  = strings.NewReplacer("\\", `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`)
)

// series writes one series of the metric that was begun last.
func (t *text) series(name string, value float64, labels ...label) {
	t.WriteString(name)
	for i, l := range labels {
		if i == 0 {
			t.WriteByte('{')
		} else {
			t.WriteByte(',')
		}
		t.WriteString(l.name + `="`)
		_, _ = labelEscapes.WriteString(t, strings.ToValidUTF8(l.value, "\uFFFD"))
		t.WriteByte('"')
	}
	if len(labels) > 0 {
		t.WriteByte('}')
	}
	t.WriteByte(' ')
	t.Write(appendNumber(t.AvailableBuffer(), value))
	t.WriteByte('\n')
}

// appendNumber writes whole numbers without an exponent, as people read them.
func appendNumber(b []byte, value float64) []byte {
	switch {
	case math.IsInf(value, +1):
		return append(b, "+Inf"...)
	case value == math.Trunc(value) && math.Abs(value) < 1<<53:
		return strconv.AppendInt(b, int64(value), 10)
	}
	return strconv.AppendFloat(b, value, 'g', -1, 64)
}
