package wire_test

import (
	"encoding/binary"
	"slices"
	"testing"
)

// A naiveOutcome is an answer, or an error, whose code is not 0.
type naiveOutcome struct {
	answer          []byte
	code            uint64
	unprocessed     bool
	reason, message string
	details         []byte
	trailer         map[string]string
}

// A naiveHead says what is called. left is in microseconds, negative for none.
type naiveHead struct {
	kind   byte
	method string
	codec  byte
	named  string
	left   int64
	md     map[string]string
}

func (h naiveHead) append(b []byte) []byte {
	flags := h.kind | h.codec<<5
	if h.left >= 0 {
		flags |= 1 << 3
	}
	if h.md != nil {
		flags |= 1 << 4
	}
	b = naiveBytes(append(b, flags), h.method)
	if h.codec == naiveNamed {
		b = naiveBytes(b, h.named)
	}
	if h.left >= 0 {
		b = binary.AppendUvarint(b, uint64(h.left))
	}
	if h.md != nil {
		b = naiveBytes(b, string(naiveMetadata(h.md)))
	}
	return b
}

func naiveMetadata(md map[string]string) (b []byte) {
	var keys []string
	for k := range md {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b = naiveBytes(naiveBytes(b, k), md[k])
	}
	return b
}

func naiveBytes(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A naiveCursor takes values off a body, and fails the test where it cannot.
type naiveCursor struct {
	t *testing.T
	b []byte
}

func (c *naiveCursor) uvarint() uint64 {
	c.t.Helper()
	v, n := binary.Uvarint(c.b)
	if n <= 0 || n > 1 && c.b[n-1] == 0 {
		c.t.Fatalf("no uvarint in its shortest form: % x", c.b)
	}
	c.b = c.b[n:]
	return v
}

func (c *naiveCursor) byte() byte {
	c.t.Helper()
	if len(c.b) == 0 {
		c.t.Fatal("a body ends too soon")
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *naiveCursor) bytes(limit int) []byte {
	c.t.Helper()
	n := c.uvarint()
	if n > uint64(limit) || n > uint64(len(c.b)) {
		c.t.Fatalf("bytes(%d) of length %d, with %d left", limit, n, len(c.b))
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *naiveCursor) trailer() map[string]string {
	c.t.Helper()
	in := &naiveCursor{c.t, c.bytes(16384)}
	md := make(map[string]string)
	for len(in.b) > 0 {
		k := string(in.bytes(64))
		if _, twice := md[k]; twice || k == "" {
			c.t.Fatalf("metadata key %q, there already: %v", k, twice)
		}
		md[k] = string(in.bytes(16384))
	}
	return md
}

func (c *naiveCursor) failure() (o naiveOutcome) {
	c.t.Helper()
	flags := c.byte()
	o.unprocessed = flags&1 != 0
	if o.code = c.uvarint(); o.code == 0 || flags>>3 != 0 {
		c.t.Fatalf("error with code %d, flags %#x", o.code, flags)
	}
	o.reason, o.message = string(c.bytes(128)), string(c.bytes(4096))
	if flags&2 != 0 {
		o.details = c.bytes(4096)
	}
	if flags&4 != 0 {
		o.trailer = c.trailer()
	}
	return o
}

func (c *naiveCursor) done() {
	c.t.Helper()
	if len(c.b) > 0 {
		c.t.Fatalf("% x behind a body's last value", c.b)
	}
}
