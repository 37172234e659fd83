package netconn

import (
	"net"
	"sync"
)

const (
	// readAhead is how much is read at once from a busy link below TLS, which
	// by itself reads record by record.
	readAhead = 64 << 10

	// busyRead is how much one read must bring for the link to be busy.
	busyRead = 4 << 10
)

var readAheadPool = sync.Pool{New: func() any { return new([readAhead]byte) }}

// A readAheadConn reads a link in large pieces, into a pooled buffer, as long
// as the link has much to give. One goroutine reads at a time.
type readAheadConn struct {
	net.Conn
	busy bool
	buf  *[readAhead]byte // nil while not busy
	r, w int              // buf[r:w] was not returned yet
}

func (c *readAheadConn) Read(p []byte) (int, error) {
	if c.r < c.w {
		n := copy(p, c.buf[c.r:c.w])
		c.r += n
		return n, nil
	}
	if !c.busy {
		c.release()
		n, err := c.Conn.Read(p)
		c.busy = n >= busyRead
		return n, err
	}
	if c.buf == nil {
		c.buf = readAheadPool.Get().(*[readAhead]byte)
	}
	n, err := c.Conn.Read(c.buf[:])
	c.r, c.w = copy(p, c.buf[:n]), n
	c.busy = n >= busyRead
	if n > 0 {
		return c.r, nil // an error comes again
	}
	c.release()
	return 0, err
}

// release gives the buffer back.
func (c *readAheadConn) release() {
	if c.buf != nil {
		readAheadPool.Put(c.buf)
		c.buf, c.r, c.w = nil, 0, 0
	}
}

// CloseWrite half-closes the link where it can.
func (c *readAheadConn) CloseWrite() error { return closeWrite(c.Conn) }
