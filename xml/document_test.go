package xml

import (
	"errors"
	"strings"
	"testing"
)

// TestSyntaxErrors holds our words and places to what libvirt 9.0 with libxml2
// 2.9 printed for the same documents.
func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ doc, msg string }{
		{"", "at line 1: Document is empty\n(null)\n^"},
		{"   ", "at line 1: Start tag expected, '<' not found\n   \n---^"},
		{"text", "at line 1: Start tag expected, '<' not found\ntext\n^"},
		{"<a><b></a>", "at line 1: Opening and ending tag mismatch: b line 1 and a\n<a><b></a>\n----------^"},
		{"<a>\n </b>\n", "at line 2: Opening and ending tag mismatch: a line 1 and b\n </b>\n-----^"},
		{"<a>", "at line 1: Premature end of data in tag a line 1\n<a>\n---^"},
		{"<a><b>\n  text\n", "at line 3: Premature end of data in tag b line 1\n(null)\n^"},
		{"<n a='1' a='2'/>", "at line 1: Attribute a redefined\n<n a='1' a='2'/>\n--------------^"},
		{"<n>&foo;</n>", "at line 1: Entity 'foo' not defined\n<n>&foo;</n>\n--------^"},
		{"<n>&amp</n>", "at line 1: EntityRef: expecting ';'\n<n>&amp</n>\n-------^"},
		{"<n>& </n>", "at line 1: xmlParseEntityRef: no name\n<n>& </n>\n----^"},
		{"<n>&#1;</n>", "at line 1: xmlParseCharRef: invalid xmlChar value 1\n<n>&#1;</n>\n-------^"},
		{"<n>&#xD800;</n>", "at line 1: xmlParseCharRef: invalid xmlChar value 55296\n<n>&#xD800;</n>\n-----------^"},
		{"<n a='&#0;'/>", "at line 1: xmlParseCharRef: invalid xmlChar value 0\n<n a='&#0;'/>\n----------^"},
		{"<n>&#xZZ;</n>", "at line 1: CharRef: invalid hexadecimal value\n<n>&#xZZ;</n>\n------^"},
		{"<n a='<'/>", "at line 1: Unescaped '<' not allowed in attributes values\n<n a='<'/>\n------^"},
		{"<n a=b/>", "at line 1: AttValue: \" or ' expected\n<n a=b/>\n-----^"},
		{"<n a/>", "at line 1: Specification mandates value for attribute a\n<n a/>\n----^"},
		{"<n a='1'b='2'/>", "at line 1: attributes construct error\n<n a='1'b='2'/>\n--------^"},
		{"<n a='x", "at line 1: AttValue: ' expected\n<n a='x\n-------^"},
		{"<network", "at line 1: Couldn't find end of Start Tag network line 1\n<network\n--------^"},
		{"<1/>", "at line 1: StartTag: invalid element name\n<1/>\n-^"},
		{"</a>", "at line 1: StartTag: invalid element name\n</a>\n-^"},
		{"<a></a", "at line 1: expected '>'\n<a></a\n------^"},
		{"<a/><b/>", "at line 1: Extra content at the end of the document\n<a/><b/>\n----^"},
		{"<a/>\nx", "at line 2: Extra content at the end of the document\nx\n^"},
		{"<a>x\x01y</a>", "at line 1: PCDATA invalid Char value 1\n<a>x\x01y</a>\n----^"},
		{"<a b='\x02'/>", "at line 1: invalid character in attribute value\n<a b='\x02'/>\n------^"},
		{"<a><!-- x -- y --></a>", "at line 1: Double hyphen within comment: <!-- x \n<a><!-- x -- y --></a>\n----------^"},
		{"<a><!-- x</a>", "at line 1: Comment not terminated\n<a><!-- x</a>\n-------------^"},
		{"<a/>\n<?xml version='1.0'?>", "at line 2: XML declaration allowed only at the start of the document\n<?xml version='1.0'?>\n-----^"},
		{"<a>\xffbcd</a>", "at line 1: Input is not proper UTF-8, indicate encoding !\nBytes: 0xFF 0x62 0x63 0x64\n<a>?bcd</a>\n---^"},
		{"<?xml version='1.0' encoding='nonsense'?><a>\xff</a>", "at line 1: Unsupported encoding nonsense\n<?xml version='1.0' encoding='nonsense'?><a>?</a>\n---------------------------------------^"},
		{"<?xml version='1.0' encoding='utf-16'?><a>\xff</a>", "at line 1: Input is not proper UTF-8, indicate encoding !\nBytes: 0xFF 0x3C 0x2F 0x61\n<?xml version='1.0' encoding='utf-16'?><a>?</a>\n------------------------------------------^"},
		{"<?xml version='1.0' encoding='windows-1252'?><a>\x81</a>", "at line 1: input conversion failed due to input error, bytes 0x81 0x3C 0x2F 0x61\n<?xml version='1.0' encoding='windows-1252'?><a>?</a>\n------------------------------------------------^"},
		{"<?xml version='2.0'?><a/>", "at line 1: Unsupported version '2.0'\n<?xml version='2.0'?><a/>\n-------------------^"},
		{"<?xml encoding='UTF-8'?><a/>", "at line 1: Malformed declaration expecting version\n<?xml encoding='UTF-8'?><a/>\n------^"},
		{"<?xml version='1.0' standalone='maybe'?><a/>", "at line 1: standalone accepts only 'yes' or 'no'\n<?xml version='1.0' standalone='maybe'?><a/>\n--------------------------------^"},
	} {
		t.Run(tt.doc, func(t *testing.T) {
			t.Parallel()
			_, err := parseAny([]byte(tt.doc))
			wantRefusal(t, err, KindDetail, tt.msg)
		})
	}
}

// TestHostileDocuments wants a refusal, soon and without much memory, of what
// is meant to hurt.
func TestHostileDocuments(t *testing.T) {
	t.Parallel()
	const bomb = `<!DOCTYPE n [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><network><name>&b;</name></network>`
	for name, doc := range map[string]string{
		"entity bomb":      bomb,
		"external entity":  `<!DOCTYPE n [<!ENTITY a SYSTEM "file:///etc/shadow">]><network><name>&a;</name></network>`,
		"external dtd":     `<!DOCTYPE n SYSTEM "http://example.org/x.dtd" []><network><name>n</name></network>`,
		"late doctype":     `<network><!DOCTYPE n><name>n</name></network>`,
		"depth":            strings.Repeat("<a>", 100_000),
		"depth, closed":    strings.Repeat("<a>", 300) + strings.Repeat("</a>", 300),
		"nodes":            inside(strings.Repeat("<a/>", 300_000)),
		"attributes":       "<network" + strings.Repeat(" a='1'", 100) + "/>",
		"many attributes":  "<network" + manyAttributes(100) + "/>",
		"size":             inside(strings.Repeat(" ", 4<<20)),
		"utf-16":           "\xff\xfe<\x00n\x00",
		"nul":              "<network>\x00</network>",
		"overlong utf-8":   "<network>\xc0\xaf</network>",
		"surrogate utf-8":  "<network>\xed\xa0\x80</network>",
		"unknown encoding": "<?xml version='1.0' encoding='nonsense'?><network><name>\xe9</name></network>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseNetwork([]byte(doc))
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindDetail {
				t.Fatalf("error is %v, want a refusal of the document", err)
			}
			if len(e.Msg) > 16<<10 {
				t.Errorf("the message has %d bytes", len(e.Msg))
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + decimal(uint32(i)) + "='1'")
	}
	return b.String()
}

// TestTruncated cuts a document everywhere: each piece is refused.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for i := range len(full) {
		if n, err := ParseNetwork([]byte(full[:i])); err == nil && strings.TrimSpace(full[i:]) != "" {
			t.Errorf("the first %d bytes were taken for network %q", i, n.Name)
		}
	}
}

func TestAcceptedDocuments(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"byte order mark":   "\xef\xbb\xbf<network><name>né</name></network>",
		"declaration":       "<?xml version='1.0' encoding='UTF-8'?>\n<network><name>né</name></network>\n<!-- end -->\n",
		"latin-1":           "<?xml version='1.0' encoding='ISO-8859-1'?><network><name>n\xe9</name></network>",
		"plain doctype":     "<!DOCTYPE network><network><name>né</name></network>",
		"cdata and comment": "<network><name>n<!-- x --><![CDATA[é]]></name></network>",
		"references":        "<network><name>n&#xE9;</name></network>",
		"foreign prefix":    "<x:network xmlns:x='urn:x'><x:name>no</x:name><name>né</name></x:network>",
		"unknown things":    "<network who='me'><what/><y:what/><name>né</name><name>other</name></network>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if n := mustParse(t, doc); n.Name != "né" {
				t.Errorf("name is %q, want né", n.Name)
			}
		})
	}
}

// TestAttributeSpace wants line breaks in attributes to be spaces unless they
// were written as references.
func TestAttributeSpace(t *testing.T) {
	t.Parallel()
	n := mustParse(t, inside("<dns><txt name='a'\n\tvalue='one\n\ttwo\r\nthree &amp; four'/></dns>"))
	if got, want := n.DNS.TXT[0].Value, "one  two three & four"; got != want {
		t.Errorf("value is %q, want %q", got, want)
	}
}

// TestManyNamespaces has deep nesting and many declarations at once, which must
// not cost time by their product.
func TestManyNamespaces(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("<network><name>n</name><metadata><m:m xmlns:m='urn:m'>")
	for range 200 {
		b.WriteString("<d" + strings.ReplaceAll(manyAttributes(60), " a", " xmlns:a") + ">")
	}
	b.WriteString(strings.Repeat("<e xmlns:a1='2' xmlns:x='y'/>", 8_000) + strings.Repeat("</d>", 200))
	b.WriteString("</m:m></metadata></network>")
	n := mustParse(t, b.String())
	if !n.Clone().Metadata.Equal(n.Metadata) {
		t.Error("the clone differs")
	}
}
