package memory

import (
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
)

// A NetworkConfig configures [NewNetwork]. The zero value is a perfect network.
type NetworkConfig struct {
	// Seed decides every random delay: the same seed and the same sequence of
	// events on a link give the same times. Identities and bindings do not
	// depend on it.
	Seed uint64
	// Link joins every two different hosts for which [Network.SetLink] says
	// nothing else. A host is joined to itself perfectly.
	Link Link
}

// A Network joins the hosts of any number of Transports inside this process.
// Get one from [NewNetwork] and its hosts from [Network.Transport]. Its
// methods may be called at once from any number of goroutines; its faults take
// effect on what is sent from then on. A host may be named before it exists.
//
// While a link is perfect and open, the ends of a connection deal with each
// other directly. Only otherwise is a timer at work, one for each direction
// between two hosts. There are no goroutines but those of firing timers. All times
// come from package time, so that a Network made inside a testing/synctest
// bubble runs in the bubble's time; it must not be used from outside then.
type Network struct {
	cfg NetworkConfig

	mu         sync.Mutex
	closed     bool
	hosts      map[string]*host
	lines      map[route]*line
	listeners  map[string]*listener // by the Host of their address
	silent     map[string]string    // names that nobody listens at since their host went down
	transports map[*Transport]struct{}
	circuits   map[*circuit]struct{}
}

// A route is one direction between two hosts.
type route struct{ from, to string }

// A host is what the network knows of a name in [Config.Host]. Its fields are
// guarded by Network.mu.
type host struct {
	addr  string // what the names of its listeners begin with
	down  bool
	crash chan struct{} // closed when the host goes down, made anew when it is back
}

// NewNetwork returns a network without hosts. The caller closes it.
func NewNetwork(cfg NetworkConfig) *Network {
	return &Network{
		cfg:        cfg,
		hosts:      make(map[string]*host),
		lines:      make(map[route]*line),
		listeners:  make(map[string]*listener),
		silent:     make(map[string]string),
		transports: make(map[*Transport]struct{}),
		circuits:   make(map[*circuit]struct{}),
	}
}

// Close closes all transports of the network, and returns after the last of
// its timers. It is idempotent.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	transports := slices.Collect(maps.Keys(n.transports))
	n.mu.Unlock()
	for _, t := range transports {
		t.end()
	}
	n.mu.Lock()
	lines := slices.Collect(maps.Values(n.lines))
	n.mu.Unlock()
	for _, l := range lines {
		l.close()
	}
	return nil
}

// Stats counts what a [Network] holds now.
type Stats struct {
	Listeners int // listeners that are not closed
	Conns     int // connections with an end that has not ended
	Streams   int // streams of those with an end that is not closed or reset
	Buffered  int // bytes written to those streams and not read
}

// Stats returns what the network holds now. After all has been closed it is
// zero: what a test may check at its end.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	s := Stats{Listeners: len(n.listeners), Conns: len(n.circuits)}
	circuits := slices.Collect(maps.Keys(n.circuits))
	n.mu.Unlock()
	for _, c := range circuits {
		c.mu.Lock()
		open := c.duplexes()
		c.mu.Unlock()
		s.Streams += len(open)
		for _, d := range open {
			s.Buffered += d.pipes[0].buffered() + d.pipes[1].buffered()
		}
	}
	return s
}

// Carried returns how many bytes of streams host from has sent that have
// arrived at host to, since the network was made.
func (n *Network) Carried(from, to string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.line(route{from, to}).bytes.Load()
}

// host returns the host of that name. The caller holds mu.
func (n *Network) host(name string) *host {
	h := n.hosts[name]
	if h == nil {
		h = &host{addr: name, crash: make(chan struct{})}
		n.hosts[name] = h
	}
	return h
}

// line returns the line of a route. The caller holds mu.
func (n *Network) line(r route) *line {
	l := n.lines[r]
	if l != nil {
		return l
	}
	link := n.cfg.Link
	if r.from == r.to {
		link = Link{}
	}
	blocks := 0
	if n.host(r.from).down {
		blocks |= fromDown
	}
	if n.host(r.to).down {
		blocks |= toDown
	}
	h := fnv.New64a()
	h.Write([]byte(strconv.Quote(r.from) + strconv.Quote(r.to)))
	l = newLine(link, blocks, rand.New(rand.NewPCG(n.cfg.Seed, h.Sum64())))
	n.lines[r] = l
	return l
}

// forget drops an end of a connection that has ended, and the connection if
// it was the last.
func (n *Network) forget(c *conn, last bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(c.owner.conns, c)
	if last {
		delete(n.circuits, c.circ)
	}
}

func (n *Network) unlisten(l *listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(l.owner.listeners, l)
	if n.listeners[l.addr.Host] == l {
		delete(n.listeners, l.addr.Host)
	}
}

// freeName returns a name at addr that nobody listens at: one with a port. It
// returns "" if there is none. The caller holds mu.
func (n *Network) freeName(addr string) string {
	for port := 1; port <= 65535; port++ {
		name := addr + ":" + strconv.Itoa(port)
		if n.listeners[name] == nil {
			return name
		}
	}
	return ""
}
