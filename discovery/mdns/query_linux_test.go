package mdns

import (
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// A listener is a host that keeps what a query brought.
type listener struct {
	host
	brought chan []byte
}

func (l *listener) vouch(_ kith.ID, raw []byte) { l.brought <- raw }

// A doubt is settled by the query of hashicorp/mdns, which its server answers; under a flood it is not used.
func TestQuery(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	d, id := newSockets(t, Config{NoIPv6: true}, "lo"), newIdentity()
	advertise(t, d, id)
	if !d.Stats().Responder {
		t.Fatal("Stats().Responder = false, want true")
	}
	var c *conn
	for _, c = range *d.medium.(*sockets).conns.Load() {
	}
	l := &listener{brought: make(chan []byte, 16)}
	q := new(queries)
	q.init(l)
	if !q.start(c, id.ID(), nil) {
		t.Fatal("start() = false, want true")
	}
	q.wait()
	select {
	case raw := <-l.brought:
		if s, err := discovery.Open(raw); err != nil || s.Record().ID != id.ID() {
			t.Errorf("the query brought %v, %v, want the record", s.Record(), err)
		}
	default:
		t.Error("the query brought nothing, want the record")
	}

	if !q.start(c, id.ID(), nil) {
		t.Fatal("start() = false a second time, want true")
	}
	for range maxHeard + 1 {
		q.heard()
	}
	q.wait()
	if q.start(c, id.ID(), nil) {
		t.Error("start() = true after a flood, want false")
		q.wait()
	}
}
