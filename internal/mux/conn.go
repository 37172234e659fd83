package mux

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// Config says what a [Conn] cannot know by itself.
type Config struct {
	// Dialed is true at the end that dialled: it opens the odd streams.
	// Exactly one of the two ends must set it.
	Dialed bool

	// Info is what [Conn.Info] returns, with Dialed put in.
	Info transport.Info

	// MaxStreams is how many streams the other side may have open.
	// If zero, 1,024; less than 16 means 16. If negative, no limit.
	MaxStreams int

	// SentPreface says that this end's [Preface] was written to the link
	// already, ReadPreface that the other end's was read and checked.
	SentPreface, ReadPreface bool

	// TimedReads says that a Read of the link that its read deadline ended
	// may be repeated with nothing lost. It is taken for granted of a
	// [net.TCPConn] and a [net.UnixConn].
	TimedReads bool

	// LinkCode gives the code of the ConnError for a failure of the link.
	// If nil, or if it returns OK, kith.Unavailable.
	LinkCode func(error) kith.Code

	// OnEnd, if not nil, runs once, when the link has been closed. It must
	// not block.
	OnEnd func()
}

const (
	defaultStreams = 1024
	noLimit        = 1 << 60
)

func (cfg *Config) maxStreams() uint64 {
	switch {
	case cfg.MaxStreams == 0:
		return defaultStreams
	case cfg.MaxStreams < 0:
		return noLimit
	}
	return uint64(max(cfg.MaxStreams, initialStreams))
}

// A Conn is one end of a multiplexed link. It implements [transport.Conn].
// Get one with [New]. Its methods may be called from any number of goroutines,
// but for [Conn.WriteLane].
//
// It runs one goroutine, from its first use on, that reads the link, unless
// callers do (see [Role]), and another one while there is something to write
// that no caller writes. [Conn.CloseWithError] joins both. It must be called in the end, also after
// the connection failed.
type Conn struct {
	link io.ReadWriteCloser
	cfg  Config
	// direct is true if a write to the link can be interrupted and resumed
	// later, so that callers may write their own slices to it.
	direct     bool
	timedReads bool       // a read of the link may be interrupted by a deadline
	try        *tryWriter // nil if the link has none

	ctx    context.Context // ends with the connection, after err was set
	cancel context.CancelCauseFunc

	running  atomic.Bool   // readLoop was started; set under mu
	over     atomic.Bool   // err is set
	gone     chan struct{} // closed when the link is, and the last goroutine is done
	inLane   atomic.Bool   // who reads is in a method of lane
	linkOnce sync.Once     // closes the link
	loops    sync.WaitGroup

	rd      reader // of who has the reading role
	reading reading

	mu       sync.Mutex // guards everything below, and the fields of all streams
	err      *transport.ConnError
	streams  map[uint64]*Stream   // those the other side knows of and that are not settled; nil until there is one
	unopened map[*Stream]struct{} // nil until this side opens one
	accepted []*Stream            // opened by the other side, waiting for AcceptStream

	mayAccept token // left if AcceptStream may have something
	hasRoom   token // left if there may be room to open

	lane        LaneHandler // set once, if at all
	pushStreams bool        // lane gets the other side's streams; set with it
	live        bool        // the application has read from a stream
	laneStream  *laneStream // set if bytes of the lane came before there was a lane

	recv  recvWindow
	send  sendWindow
	grown uint64      // drawn from budget.Windows; streams' windows only divide recv
	needy writerQueue // streams whose Write waits for credit of the connection

	opened    uint64 // streams opened by this side, with those not on the wire yet
	onWire    uint64 // of them, those the other side knows of
	openLimit uint64 // how many it lets us open, ever
	ownLive   uint64 // streams opened by this side and not settled

	peerOpened uint64  // streams opened by the other side, ever
	peerLimit  uint64  // how many we let it open, ever
	peerDone   uint64  // of them, those that are settled, and whose places are not held back
	resets     *resets // those that are; nil before the first

	out        writer
	closeTimer *time.Timer
}

// New makes a connection of a link. It owns the link from then on. Nothing is
// read or written before the first use.
//
// Close of the link must unblock its Read and Write. If it has the deadlines
// of a [net.Conn], and a CloseWrite, then the connection's end reaches the
// other side more surely.
func New(link io.ReadWriteCloser, cfg Config) *Conn {
	cfg.Info.Dialed = cfg.Dialed
	c := &Conn{
		link:      link,
		cfg:       cfg,
		direct:    plain(link) && canInterrupt,
		gone:      make(chan struct{}),
		recv:      newRecvWindow(connWindow, maxConnWindow),
		send:      sendWindow{limit: connWindow},
		openLimit: initialStreams,
		peerLimit: initialStreams,
	}
	_, limits := link.(readLimiter)
	c.timedReads = (cfg.TimedReads || plain(link)) && limits
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.out.init(&c.mu)
	c.out.greeted = cfg.SentPreface
	if c.direct {
		c.try = newTryWriter(link)
	}
	return c
}

// plain reports whether the link is a socket with nothing in between, whose
// deadlines lose nothing.
func plain(link io.ReadWriteCloser) bool {
	switch link.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

type readLimiter interface{ SetReadDeadline(time.Time) error }

// limitReads sets the read deadline of a link that has one.
func (c *Conn) limitReads(t time.Time) error {
	if l, ok := c.link.(readLimiter); ok {
		return l.SetReadDeadline(t)
	}
	return os.ErrNoDeadline
}

// limitWrites sets the write deadline of the link, which is direct.
func (c *Conn) limitWrites(t time.Time) {
	_ = c.link.(interface{ SetWriteDeadline(time.Time) error }).SetWriteDeadline(t)
}

// canInterrupt is true where an interrupted write says exactly how much was
// written. Overlapped writes on Windows do not.
const canInterrupt = runtime.GOOS != "windows"

// maxFrame is the longest payload of a stream's frame that this end sends; a
// copied one fills the largest pooled chunk.
func (c *Conn) maxFrame() int {
	if c.direct {
		return maxData
	}
	return maxData - headerLen
}

// start makes the connection live. It does nothing from the second time on.
func (c *Conn) start() {
	if c.running.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && !c.running.Load() {
		c.running.Store(true)
		// Ends when the link fails or is closed, for which CloseWithError waits, or
		// when the reading role is free, with nothing more to do.
		go c.readLoop()
	}
}

// Context implements [transport.Conn].
func (c *Conn) Context() context.Context {
	c.start()
	return c.ctx
}

// Info implements [transport.Conn].
func (c *Conn) Info() transport.Info { return c.cfg.Info }

// OpenStream implements [transport.Conn]. The other side sees the stream when
// something happens on it.
func (c *Conn) OpenStream(ctx context.Context) (transport.Stream, error) {
	c.start()
	for {
		s, room, err := c.tryOpen()
		c.ReadOn() // what the other side says of streams is not for a caller who leads
		if s != nil || err != nil {
			return streamOrNil(s), err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, fmt.Errorf("open stream: %w", ctx.Err())
		case <-c.ctx.Done():
		}
	}
}

// tryOpen returns neither a stream nor an error where there is no room, but what
// to wait on for some.
func (c *Conn) tryOpen() (s *Stream, room <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, nil, c.err
	}
	if !c.mayOpen() {
		return nil, c.hasRoom.wanted(), nil
	}
	c.opened++
	c.ownLive++
	s = newStream(c, false)
	if c.unopened == nil {
		c.unopened = make(map[*Stream]struct{})
	}
	c.unopened[s] = struct{}{}
	if c.mayOpen() {
		c.hasRoom.leave() // there may be others waiting
	}
	return s, nil, nil
}

// mayOpen holds us to the other side's limit, and to our own one too, so that
// a peer that grants everything and reads nothing cannot make us keep the
// frames of any number of streams. mu held.
func (c *Conn) mayOpen() bool {
	return c.opened < c.openLimit && c.ownLive < c.cfg.maxStreams()
}

// AcceptStream implements [transport.Conn]. A stream is accepted when its
// first frame has come. At the end that accepted, the other side's lane is the
// first of them, unless [Conn.StartLane] took it.
func (c *Conn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	c.start()
	for {
		s, come, err := c.tryAccept()
		if s != nil || err != nil {
			return s, err
		}
		select {
		case <-come:
		case <-ctx.Done():
			return nil, fmt.Errorf("accept stream: %w", ctx.Err())
		case <-c.ctx.Done():
		}
	}
}

// tryAccept returns neither a stream nor an error where none has come, but what to
// wait on for one.
func (c *Conn) tryAccept() (st transport.Stream, come <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, nil, c.err
	}
	if s := c.takeLaneStream(); s != nil {
		return s, nil, nil
	}
	if len(c.accepted) == 0 {
		return nil, c.mayAccept.wanted(), nil
	}
	s := c.accepted[0]
	c.accepted[0] = nil
	if c.accepted = c.accepted[1:]; len(c.accepted) > 0 {
		c.mayAccept.leave()
	} else {
		c.accepted = nil
	}
	return s, nil, nil
}

// streamOrNil keeps a nil *Stream from becoming a non-nil interface.
func streamOrNil(s *Stream) transport.Stream {
	if s == nil {
		return nil
	}
	return s
}

// A token wakes one of those who wait for something. It holds one wake-up, and
// nothing while nobody has waited yet. Its methods are called with mu held, by those
// who wait once they have seen that they must.
type token struct{ ch chan struct{} }

// wanted returns what to wait on.
func (t *token) wanted() <-chan struct{} {
	if t.ch == nil {
		t.ch = make(chan struct{}, 1)
	}
	return t.ch
}

func (t *token) leave() {
	select {
	case t.ch <- struct{}{}: // never if it is nil
	default:
	}
}
