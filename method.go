package kith

import (
	"fmt"
	"time"
)

// A Kind says how many messages a method takes and gives.
type Kind uint8

// The kinds of methods.
const (
	KindUnary        Kind = iota + 1 // one request, one answer
	KindServerStream                 // one request, many answers
	KindClientStream                 // many requests, one answer
	KindBidi                         // many of both, in any order
	KindNotify                       // one request, no answer
)

// String returns the kind's name.
func (k Kind) String() string {
	names := [...]string{"unary", "server stream", "client stream", "bidi", "notify"}
	if k == 0 || int(k) > len(names) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return names[k-1]
}

// MaxMethodName is the length in bytes of the longest method name.
const MaxMethodName = 128

// A Method is what both sides know of a method, but for the types of its
// messages. It is part of each typed descriptor, [UnaryMethod] say, and
// immutable.
type Method struct {
	name       string
	kind       Kind
	idempotent bool
	isolated   bool
	timeout    time.Duration
	maxMessage int
	doc        string
	codec      Codec // where the call names none
}

// A MethodOption refines a method. Both sides see it, as they share the
// descriptor.
type MethodOption func(*Method)

// Idempotent says that running the method twice is the same as once: a call
// whose fate is unknown may be repeated or sent to two peers.
func Idempotent() MethodOption { return func(m *Method) { m.idempotent = true } }

// Timeout bounds each call of the method, from its start, in addition to the
// deadline of the caller's ctx.
func Timeout(d time.Duration) MethodOption { return func(m *Method) { m.timeout = d } }

// MaxMessage bounds each message of the method in both directions, in bytes,
// in place of the limit of client and server. Negative means no limit.
func MaxMessage(n int) MethodOption { return func(m *Method) { m.maxMessage = n } }

// Isolated gives each call of a unary method a transport stream of its own, so
// that on a transport of independent streams no other call can delay it.
func Isolated() MethodOption { return func(m *Method) { m.isolated = true } }

// Doc describes the method in a sentence, for tools.
func Doc(text string) MethodOption { return func(m *Method) { m.doc = text } }

// newMethod panics on a bad name: descriptors are package variables, and a
// mistake there should stop the program at its start.
func newMethod(kind Kind, name string, raw bool, opts []MethodOption) Method {
	if err := checkMethodName(name); err != nil {
		panic("kith: " + err.Error())
	}
	m := Method{name: name, kind: kind, codec: JSON}
	if raw {
		m.codec = Raw
	}
	for _, o := range opts {
		o(&m)
	}
	return m
}

func checkMethodName(name string) error {
	slash := 0
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		case c == '/' && slash == 0 && i > 0 && i < len(name)-1:
			slash = i
		default:
			return fmt.Errorf("method name %q: want service/Method of letters, digits, '_', '-', '.'", name)
		}
	}
	if slash == 0 || len(name) > MaxMethodName {
		return fmt.Errorf("method name %q: want service/Method in at most %d bytes", name, MaxMethodName)
	}
	return nil
}

// Name returns the method's name on the wire, "service/Method".
func (m *Method) Name() string { return m.name }

// Kind returns how many messages the method takes and gives.
func (m *Method) Kind() Kind { return m.kind }

// Idempotent reports the option [Idempotent].
func (m *Method) Idempotent() bool { return m.idempotent }

// Isolated reports the option [Isolated].
func (m *Method) Isolated() bool { return m.isolated }

// Timeout returns the option [Timeout], 0 for none.
func (m *Method) Timeout() time.Duration { return m.timeout }

// MaxMessage returns the option [MaxMessage], 0 if it was not given.
func (m *Method) MaxMessage() int { return m.maxMessage }

// Doc returns the option [Doc].
func (m *Method) Doc() string { return m.doc }

// Codec returns the codec of calls that name none: [Raw] if all messages are
// []byte, else [JSON].
func (m *Method) Codec() Codec { return m.codec }
