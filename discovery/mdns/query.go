package mdns

import (
	"context"
	"net/netip"
	"sync"
	"time"

	hashimdns "github.com/hashicorp/mdns"
	"github.com/kith-go/kith"
)

// queries settles doubts with the query of hashicorp/mdns: unlike our sockets, it hears answers by unicast, which
// get through where multicast is lossy. It sends a packet for many that it hears while it runs, so
// that it runs only for a doubt, shortly, and is stopped when many come.
type queries struct {
	host host
	wg   sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	running int
	count   int // packets heard since the first of those that run began
	ctx     context.Context
	cancel  context.CancelFunc // ends all that run
	calm    time.Time          // not to be used before
}

const (
	maxQueries   = 4
	queryTimeout = 350 * time.Millisecond // shorter than probeWait: its answers come when it ends
	queryEntries = 1024                   // it drops what does not fit
	maxHeard     = 32                     // packets during queries, before they are stopped
	calmDown     = 30 * time.Second       // until they are used again
)

func (q *queries) init(h host) { q.host = h }

// start asks for id on the link of c, and sends data instead if that does not work. It reports whether it took it on.
func (q *queries) start(c *conn, id kith.ID, data []byte) bool {
	if c.noQuery.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped || q.running == maxQueries || time.Now().Before(q.calm) {
		return false
	}
	if q.running == 0 {
		q.count = 0
		q.ctx, q.cancel = context.WithCancel(context.Background())
	}
	q.running++
	ctx := q.ctx
	q.wg.Go(func() { q.askHandler(ctx, c, id, data) })
	return true
}

// askHandler asks for one node. It ends after queryTimeout; stop does not shorten that, as the query does not
// heed its ctx, but has it send nothing more.
func (q *queries) askHandler(ctx context.Context, c *conn, id kith.ID, data []byte) {
	defer q.end()
	entries := make(chan *hashimdns.ServiceEntry, queryEntries)
	err := hashimdns.QueryContext(ctx, &hashimdns.QueryParam{
		Service:     id.String() + "._kith._udp",
		Domain:      "local",
		Timeout:     queryTimeout,
		Interface:   c.iface,
		Entries:     entries,
		DisableIPv4: c.info.v6,
		DisableIPv6: !c.info.v6,
		Logger:      silent,
	})
	if err != nil && ctx.Err() == nil {
		c.noQuery.Store(true) // it leaves a descriptor to the garbage collector each time it fails
		c.write(data, netip.AddrPort{})
		return
	}
	close(entries) // the query has ended: it changes no entry any more
	want := id.String() + "." + serviceName
	for e := range entries {
		if e.Name == want {
			q.host.vouch(id, rawOf(e.InfoFields))
		}
	}
}

// end notes that a query ended.
func (q *queries) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running--; q.running == 0 {
		q.cancel()
	}
}

// heard notes that a packet came.
func (q *queries) heard() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running == 0 {
		return
	}
	if q.count++; q.count > maxHeard {
		q.cancel()
		q.calm = time.Now().Add(calmDown)
	}
}

func (q *queries) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	if q.running > 0 {
		q.cancel()
	}
}

func (q *queries) wait() { q.wg.Wait() }

// rawOf returns the record in the strings of a TXT record, or nil.
func rawOf(text []string) []byte {
	var data []byte
	for _, s := range text {
		if len(s) > 255 || len(data) > maxPacket {
			return nil
		}
		data = append(append(data, byte(len(s))), s...)
	}
	var m message
	if m.takeText(label{}, ttlAnswer, data); len(m.answers) == 0 {
		return nil
	}
	return m.answers[0].raw
}
