package metrics

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	t.Parallel()
	var doc text
	doc.family("a_total", counter, "A \"help\" \\ of\ntwo lines.")
	doc.series("a_total", 1)
	doc.series("a_total", 0.25, label{"x", "quote\" backslash\\ line\nend"}, label{"y", "bad\xffbyte"})
	doc.series("a_total", math.Inf(1), label{"z", ""})
	doc.series("a_total", 1<<60)
	const want = "# HELP a_total A \"help\" \\\\ of\\ntwo lines.\n# TYPE a_total counter\n" +
		"a_total 1\n" +
		`a_total{x="quote\" backslash\\ line\nend",y="bad` + "\uFFFD" + `byte"} 0.25` + "\n" +
		`a_total{z=""} +Inf` + "\n" +
		"a_total 1.152921504606847e+18\n"
	if diff := cmp.Diff(want, doc.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
