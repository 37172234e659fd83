package discoverytest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/discoverytest"
)

// A board is a medium for one process: a Table per network, which all look at.
type board struct {
	mu     sync.Mutex
	tables map[discovery.Tag]*discovery.Table
}

func newBoard() *board { return &board{tables: make(map[discovery.Tag]*discovery.Table)} }

func (b *board) table(network discovery.Tag) *discovery.Table {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tables[network] == nil {
		b.tables[network] = discovery.NewTable(discovery.TableConfig{Network: network})
	}
	return b.tables[network]
}

// A node is a Discovery on the board.
type node struct {
	board *board

	mu     sync.Mutex
	closed bool
	open   []discovery.Browser
}

// Advertise puts s onto the board.
func (n *node) Advertise(_ context.Context, s discovery.Signed) (discovery.Advertiser, error) {
	if n.isClosed() {
		return nil, discovery.ErrClosed
	}
	a := &notice{node: n, last: s.Record()}
	_, _, err := n.board.table(a.last.Network).Put(s.Append(nil), "")
	return a, err
}

// Browse looks at the board.
func (n *node) Browse(_ context.Context, network discovery.Tag) (discovery.Browser, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, discovery.ErrClosed
	}
	b := n.board.table(network).Browse()
	n.open = append(n.open, b)
	return b, nil
}

func (n *node) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// Close ends what was begun by this node.
func (n *node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, b := range n.open {
		b.Close()
	}
	return nil
}

// A notice is an Advertiser.
type notice struct {
	node *node

	mu     sync.Mutex
	closed bool
	last   discovery.Record
}

// Update replaces the notice.
func (a *notice) Update(s discovery.Signed) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := s.Record()
	switch {
	case a.closed || a.node.isClosed():
		return discovery.ErrClosed
	case r.ID != a.last.ID || r.Network != a.last.Network:
		return errors.New("another's record")
	}
	a.last = r
	_, _, err := a.node.board.table(r.Network).Put(s.Append(nil), "")
	return err
}

// Close takes the notice down.
func (a *notice) Close(goodbye discovery.Signed) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	t := a.node.board.table(a.last.Network)
	if goodbye.IsZero() {
		t.Drop(a.last.ID)
		return nil
	}
	_, _, err := t.Put(goodbye.Append(nil), "")
	return err
}

// The test of a Discovery is one call, in a function that go test finds.
func ExampleRun() {
	testBoard := func(t *testing.T) {
		discoverytest.Run(t, func(testing.TB) discoverytest.Setup {
			board := newBoard()
			return discoverytest.Setup{
				New:      func() discovery.Discovery { return &node{board: board} },
				InMemory: true,
			}
		})
	}
	_ = testBoard
}

func TestBoard(t *testing.T) {
	discoverytest.Run(t, func(testing.TB) discoverytest.Setup {
		board := newBoard()
		return discoverytest.Setup{
			New:      func() discovery.Discovery { return &node{board: board} },
			InMemory: true,
		}
	})
}
