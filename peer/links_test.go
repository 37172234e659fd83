package peer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kith-go/kith/internal/session"
)

// The model: two nodes run the rule over connections whose messages take any time, that break
// without a word, or are given up; nodes restart. It knows what both sides
// hold, so it can say when the rule does what it must not.
type model struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	nodes [2]*modelNode
	conns []*modelConn
	now   int

	settling bool // no more faults
}

type modelNode struct {
	links
	instance [8]byte
	of       map[*link]*modelConn
}

type modelConn struct {
	dialer   int
	attempt  uint64
	instance [2][8]byte // of its ends
	queue    [2][]message
	link     [2]*link
	broken   bool    // nothing arrives any more
	over     [2]bool // the end has closed it, or knows that it is over
	trying   bool    // the dialler waits for welcome
}

// A message is in the queue of the node that it goes to.
type message struct {
	kind    string // hello, welcome, drain, close
	pairing session.Pairing
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
	for i := range m.nodes {
		m.start(i)
	}
	return m
}

func (m *model) start(i int) {
	n := &modelNode{of: make(map[*link]*modelConn)}
	n.smaller = i == 0
	for b := range n.instance {
		n.instance[b] = byte(m.rng.Uint32())
	}
	m.nodes[i] = n
}

func (m *model) failf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d, step %d: %s", m.seed, m.now, fmt.Sprintf(format, args...))
}

func (m *model) dial(i int) {
	p, ok := m.nodes[i].begin(false)
	if !ok {
		return
	}
	c := &modelConn{dialer: i, attempt: p.Attempt, trying: true}
	c.instance[i] = m.nodes[i].instance
	c.queue[1-i] = append(c.queue[1-i], message{"hello", p})
	m.conns = append(m.conns, c)
}

// deliver lets node i take the next message of c.
func (m *model) deliver(c *modelConn, i int) {
	msg := c.queue[i][0]
	c.queue[i] = c.queue[i][1:]
	if c.over[i] {
		return
	}
	n := m.nodes[i]
	switch msg.kind {
	case "hello":
		c.instance[i] = n.instance
		defer m.oneInstance(i, c.instance[1-i])
		k := &link{}
		welcome, dead, err := n.judge(k, session.Remote{Instance: c.instance[1-i], Pairing: msg.pairing})
		n.of[k] = c
		if err == nil {
			c.link[i] = k
			c.queue[1-i] = append(c.queue[1-i], message{"welcome", welcome})
		}
		m.closeDead(i, dead)
		if err != nil {
			m.closeEnd(c, i)
		}
	case "welcome":
		defer m.oneInstance(i, c.instance[1-i])
		c.trying = false
		k := &link{dialed: true, attempt: c.attempt, theirs: msg.pairing.Attempt, instance: c.instance[1-i]}
		c.link[i], n.of[k] = k, c
		m.closeDead(i, n.admitted(k))
	case "drain":
		c.link[i].draining = true
		n.elect()
		m.closeEnd(c, i) // all calls are over
	case "close":
		m.overAt(c, i)
	}
	m.elect(i)
}

// oneInstance checks that node i holds links to one instance only.
func (m *model) oneInstance(i int, want [8]byte) {
	for _, k := range m.nodes[i].held {
		if k.instance != want {
			m.failf("node %d holds %d, of an instance that is gone", i, k.attempt)
		}
	}
}

// elect lets node i choose, and drain if it sees that what it chose lives.
func (m *model) elect(i int) {
	n := m.nodes[i]
	n.elect()
	losers := n.losers()
	if len(losers) == 0 || m.now%3 == 0 && !m.settling {
		return // the answer to its ping is to come
	}
	w := n.of[n.winner]
	if w.broken || w.over[1-i] {
		return
	}
	if other := m.nodes[1-i]; !slices.Contains(other.held, w.link[1-i]) {
		m.failf("node %d drains for %d/%d, which the other does not hold", i, w.dialer, w.attempt)
	}
	for _, k := range losers {
		k.draining = true
		c := n.of[k]
		c.queue[1-i] = append(c.queue[1-i], message{kind: "drain"})
	}
}

// closeDead closes what the rule calls dead: it must be so for the other side.
func (m *model) closeDead(i int, dead []*link) {
	for _, k := range dead {
		c := m.nodes[i].of[k]
		if other := m.nodes[1-i]; !c.broken && !c.over[1-i] && c.instance[1-i] == other.instance {
			m.failf("node %d closes %d/%d as dead, which the other uses", i, c.dialer, c.attempt)
		}
		m.closeEnd(c, i)
	}
}

func (m *model) closeEnd(c *modelConn, i int) {
	m.overAt(c, i)
	c.queue[1-i] = append(c.queue[1-i], message{kind: "close"})
}

// overAt makes node i know that c is over.
func (m *model) overAt(c *modelConn, i int) {
	if c.over[i] || c.instance[i] != m.nodes[i].instance && c.instance[i] != [8]byte{} {
		c.over[i] = true
		return
	}
	c.over[i] = true
	n := m.nodes[i]
	if i == c.dialer && c.trying {
		c.trying = false
		n.failed(c.attempt)
	}
	if c.link[i] != nil {
		n.ended(c.link[i])
	}
	m.elect(i)
}

// restart makes node i forget everything; what it had breaks.
func (m *model) restart(i int) {
	for _, c := range m.conns {
		c.broken = true
		c.over[i] = true
	}
	m.start(i)
}

func (m *model) step(faults bool) bool {
	m.now++
	var busy []*modelConn
	for _, c := range m.conns {
		if !c.broken && len(c.queue[0])+len(c.queue[1]) > 0 {
			busy = append(busy, c)
		}
	}
	if faults && m.fault() {
		return true
	}
	if len(busy) == 0 {
		return false
	}
	c := busy[m.rng.IntN(len(busy))]
	i := m.rng.IntN(2)
	if len(c.queue[i]) == 0 {
		i = 1 - i
	}
	m.deliver(c, i)
	return true
}

func (m *model) fault() bool {
	pick := func() *modelConn {
		if len(m.conns) == 0 {
			return nil
		}
		return m.conns[m.rng.IntN(len(m.conns))]
	}
	switch r := m.rng.IntN(100); {
	case r < 20:
		m.dial(m.rng.IntN(2))
	case r < 23:
		if c := pick(); c != nil {
			c.broken = true
		}
	case r < 30: // one end notices that it is broken
		if c := pick(); c != nil && c.broken {
			m.overAt(c, m.rng.IntN(2))
		}
	case r < 32: // an attempt takes too long
		if c := pick(); c != nil && c.trying && !c.over[c.dialer] {
			m.closeEnd(c, c.dialer)
		}
	case r < 33:
		m.restart(m.rng.IntN(2))
	default:
		return false
	}
	return true
}

// settle lets everything arrive that can, and every end notice what broke.
func (m *model) settle() {
	m.settling = true
	for m.step(false) {
	}
	for _, c := range m.conns {
		if c.broken {
			m.overAt(c, 0)
			m.overAt(c, 1)
		}
	}
	m.elect(0)
	m.elect(1)
	for m.step(false) {
	}
}

func (m *model) check() {
	m.settle()
	if m.nodes[0].winner == nil || m.nodes[1].winner == nil {
		m.dial(m.rng.IntN(2)) // a node without a connection dials
		m.dial(m.rng.IntN(2))
		m.settle()
	}
	for i, n := range m.nodes {
		if len(n.held) != 1 || n.winner != n.held[0] || len(n.attempts) > 0 {
			m.failf("node %d ends with %d links and %d attempts, want one link", i, len(n.held), len(n.attempts))
		}
	}
	a, b := m.nodes[0].of[m.nodes[0].winner], m.nodes[1].of[m.nodes[1].winner]
	if a != b {
		m.failf("the nodes chose %d/%d and %d/%d", a.dialer, a.attempt, b.dialer, b.attempt)
	}
}

func TestLinksModel(t *testing.T) {
	seeds := uint64(20_000)
	if Race {
		seeds /= 10 // one goroutine: nothing for the race detector to find
	}
	for seed := range seeds {
		m := newModel(t, seed)
		for range 10 + m.rng.IntN(200) {
			m.step(true)
		}
		if m.check(); t.Failed() {
			return
		}
	}
}

// Who is kept: what the smaller ID dialled, and of one dialler's the lowest attempt.
func TestLinksElect(t *testing.T) {
	mine := []*link{{dialed: true, attempt: 2}, {dialed: true, attempt: 9}}
	theirs := []*link{{attempt: 1}, {attempt: 3}}
	for smaller, want := range map[bool]*link{true: mine[0], false: theirs[0]} {
		l := links{smaller: smaller, held: []*link{theirs[1], mine[1], mine[0], theirs[0]}}
		if l.elect(); l.winner != want {
			t.Errorf("elect() with the smaller ID here %t = %+v, want %+v", smaller, l.winner, want)
		}
		want.draining = true
		if l.elect(); l.winner == want || l.winner.dialed != want.dialed {
			t.Errorf("elect() with %+v draining = %+v, want the next of the same dialler", want, l.winner)
		}
		want.draining = false
	}
}

func TestLinksBounds(t *testing.T) {
	var l links
	for i := range uint64(maxAccepted) {
		if _, _, err := l.judge(&link{}, session.Remote{Pairing: session.Pairing{Attempt: i + 1, Holds: heldAll(i)}}); err != nil {
			t.Fatalf("judge of connection %d = %v", i, err)
		}
	}
	if _, _, err := l.judge(&link{}, session.Remote{Pairing: session.Pairing{Attempt: 1, Holds: heldAll(maxAccepted)}}); err != errAttempt {
		t.Errorf("judge of an attempt made before = %v, want %v", err, errAttempt)
	}
	if _, _, err := l.judge(&link{}, session.Remote{Pairing: session.Pairing{Attempt: 99, Holds: heldAll(maxAccepted)}}); err != errTooMany {
		t.Errorf("judge of one too many = %v, want %v", err, errTooMany)
	}
	n := 0
	for ; n < 100; n++ {
		p, ok := l.begin(false)
		if !ok {
			break
		}
		if len(p.Holds) > session.MaxHolds {
			t.Fatalf("hello lists %d connections, at most %d", len(p.Holds), session.MaxHolds)
		}
	}
	if n != session.MaxHolds-maxAccepted {
		t.Errorf("%d attempts, want %d", n, session.MaxHolds-maxAccepted)
	}
}

func heldAll(n uint64) (all []session.Held) {
	for i := range n {
		all = append(all, session.Held{Mine: true, Attempt: i + 1})
	}
	return all
}
