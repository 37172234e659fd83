package mux

import (
	"errors"
	"io"
	"os"
	"time"
)

const (
	quietRead  = 512      // the buffer of a connection that is quiet, which most of many are
	smallRead  = 4 << 10  // the buffer of one that has more to say at a time
	largeRead  = 64 << 10 // the buffer of a busy one, pooled
	directRead = 4 << 10  // a payload with that much missing is read into its chunk
)

// A reader buffers what comes from the link. Only who has the reading [Role] uses
// it.
type reader struct {
	buf   []byte // small, or large.b
	small []byte // of quietRead, or smallRead once a read filled that
	large *chunk
	r, w  int // buf[r:w] is what was not looked at
	// full is true if the last read filled the buffer, so that there is more
	// to come, and nothing was read past the buffer since.
	full  bool
	short bool // the last read would have fit a buffer of smallRead
	// While the connection is busy, the link's read deadline is set, so that a
	// read that finds the link idle comes back to give larger buffers up.
	timed bool // the deadline is set
	reads int  // since it was
	idle  bool // it passed with nothing read
	total int  // bytes read from the link, up to a frame's longest payload
	waste waste
	pace  Pace
	lane  LaneHandler // Conn.lane, once it was seen there
	call  LaneCall    // to be run when what is buffered has been taken, nil for none
	err   error       // why the reading is to end, found by who led before
}

func (rd *reader) buffered() []byte { return rd.buf[rd.r:rd.w] }

// trusted is how much memory a frame's header may claim at once, before the
// payload has come: as much as the other side has sent in all. So a link that
// carries data has its large payloads read in one piece, and a thousand that
// only announce them cost nearly nothing.
func (rd *reader) trusted() int { return max(smallCopy, rd.total) }

// next takes up to n of the buffered bytes.
func (rd *reader) next(n int) []byte {
	p := rd.buf[rd.r:min(rd.w, rd.r+n)]
	rd.r += len(p)
	return p
}

// adjust picks the buffer for the next read.
func (rd *reader) adjust() {
	if rd.idle && len(rd.small) > quietRead && rd.w-rd.r < quietRead {
		rd.resize(quietRead)
	}
	switch {
	case rd.full && len(rd.small) < smallRead:
		rd.resize(smallRead)
	case rd.large == nil && rd.full:
		rd.large = newChunk(largeRead)
		rd.move(rd.large.b)
	case rd.large != nil && (rd.short && rd.r == rd.w || rd.idle && rd.w-rd.r < len(rd.small)):
		rd.move(rd.small)
		rd.drop()
	case rd.r == rd.w:
		rd.r, rd.w = 0, 0
	case rd.w == len(rd.buf):
		rd.move(rd.buf)
	}
}

// resize makes the small buffer one of n bytes, and moves to it what is in the
// old one.
func (rd *reader) resize(n int) {
	rd.small = make([]byte, n)
	if rd.large == nil {
		rd.move(rd.small)
	}
}

func (rd *reader) move(to []byte) {
	rd.r, rd.w = 0, copy(to, rd.buffered())
	rd.buf = to
}

// drop gives the large buffer back.
func (rd *reader) drop() {
	if rd.large != nil {
		rd.large.free()
		rd.large = nil
	}
}

// maxEmptyReads is how often in a row the link may return nothing and no error.
const maxEmptyReads = 100

// readLink reads from the link until there is something. It returns nothing
// and no error if the link was idle, and what was taken for busy times is to be
// given back.
func (c *Conn) readLink(p []byte) (int, error) {
	rd := &c.rd
	rd.idle = false
	for range maxEmptyReads {
		n, err := c.link.Read(p)
		if n > 0 {
			rd.reads++
			rd.total = min(rd.total+n, maxData)
			return n, err
		}
		if rd.timed && errors.Is(err, os.ErrDeadlineExceeded) && !c.over.Load() {
			rd.idle = rd.reads == 0
			c.timeReads(!rd.idle)
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// idleAfter is how long nothing must come on a busy link before it counts as
// idle; it may take twice as long to notice.
const idleAfter = time.Second

// timeReads sets or removes the link's read deadline, if that can be done
// without harm, and the connection is not closing: that has its own.
func (c *Conn) timeReads(on bool) {
	rd := &c.rd
	rd.timed, rd.reads = on, 0
	var t time.Time
	if on {
		t = time.Now().Add(idleAfter)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		_ = c.limitReads(t)
	}
}

// noteBusy has the link looked at again when it is idle.
func (c *Conn) noteBusy() {
	if !c.rd.timed && c.timedReads {
		c.timeReads(true)
	}
}

// fill reads more into the buffer.
func (c *Conn) fill() error {
	rd := &c.rd
	c.startKept() // to read may take long
	if rd.adjust(); rd.large != nil || len(rd.small) > quietRead {
		c.noteBusy()
	}
	n, err := c.readLink(rd.buf[rd.w:])
	rd.w += n
	rd.full = rd.w == len(rd.buf)
	rd.short = n <= smallRead
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// need makes sure that n bytes are buffered in one piece; n is small.
func (c *Conn) need(n int) error {
	rd := &c.rd
	for rd.w-rd.r < n {
		if rd.r+n > len(rd.buf) {
			rd.move(rd.buf)
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
	return nil
}

// errOver makes readFrames return after the connection was closed here.
var errOver = errors.New("closed")

// errRetired makes readLoop end, and nothing else.
var errRetired = errors.New("somebody else reads")

// readFrames reads until the link fails, the other side breaks the protocol or
// closes, the connection is closed here, or the reading role has gone.
func (c *Conn) readFrames() error {
	if c.rd.buf == nil {
		if err := c.greeting(); err != nil {
			return err
		}
	}
	for !c.over.Load() && c.rd.err == nil {
		if err := c.need(headerLen); err != nil {
			return err
		}
		h, err := parseHeader(c.rd.next(headerLen))
		if err != nil {
			return err
		}
		if err := c.readFrame(h); err != nil {
			return err
		}
		units := 1
		if h.flags&flagOpen != 0 {
			units = openUnits
		}
		c.rd.pace.Add(units)
		if c.rd.call != nil && !c.lend() || c.retire() {
			return errRetired
		}
	}
	if c.over.Load() {
		return errOver
	}
	return c.rd.err
}

// greeting reads the other side's preface.
func (c *Conn) greeting() error {
	rd := &c.rd
	rd.resize(quietRead)
	for !c.cfg.ReadPreface && len(rd.buffered()) < len(Preface) {
		if err := c.fill(); err != nil {
			return err
		}
		if err := CheckPreface(rd.buffered()); err != nil {
			return err
		}
	}
	if !c.cfg.ReadPreface {
		rd.next(len(Preface))
	}
	return nil
}

func (c *Conn) readFrame(h header) error {
	switch {
	case h.kind == kindData && h.id == 0:
		return c.readLane(h.length)
	case h.kind == kindData:
		return c.readData(h)
	}
	if err := c.need(h.length); err != nil {
		return err
	}
	return c.control(h, c.rd.next(h.length))
}

func (c *Conn) readLane(n int) error {
	if n == 0 {
		return c.useless()
	}
	c.rd.waste.useful()
	for n > 0 {
		if c.rd.r == c.rd.w {
			if err := c.fill(); err != nil {
				return err
			}
		}
		p := c.rd.next(n)
		n -= len(p)
		if err := c.laneData(p); err != nil || c.over.Load() {
			return err
		}
	}
	return nil
}

// useless counts a frame that changed nothing.
func (c *Conn) useless() error {
	if c.rd.waste.useless() {
		return nil
	}
	return frameErrorf("more than %d frames without effect", maxWaste)
}

// discard reads and drops what comes until the link fails. Who goes on sending
// gets no more of a processor for it than for frames that are read.
func (c *Conn) discard() {
	rd := &c.rd
	for {
		n, err := c.readLink(rd.buf)
		if err != nil {
			return
		}
		rd.pace.Add(n / discardCost)
	}
}

// discardCost is how many bytes that are dropped cost a unit of the pace: what
// fills the large buffer makes it rest.
const discardCost = largeRead / paceUnits
