package netconn

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// A Pipe is what a connection can be made of: one ordered stream of bytes each
// way. A [net.Conn] is one; the standard input and output of a child process, a
// channel of SSH, or a serial line can be made one. These are its rules, and
// transporttest.RunPipe says whether one keeps them.
//
//   - What is written arrives whole, in order and once. An empty Write changes
//     nothing at the other end.
//   - Read waits only while there is nothing to return. It does not wait until
//     p is full.
//   - Write returns when the pipe has taken all of p, or with an error. It does
//     not keep p.
//   - It takes in 4 KiB while nobody reads. A [net.Pipe] does not, and can be used
//     all the same, in tests say: but a connection over it that is closed before the
//     other end has used it is just lost there, with neither code nor reason.
//   - A direction that nobody reads makes its writer wait, and does not hold up
//     the other direction.
//   - One goroutine may read while another writes and any number of others
//     call Close.
//   - Close unblocks Read and Write of its own end, at once, and makes them fail
//     from then on. It may be called again.
//   - Close ends the other end too: Read there fails, with io.EOF or another
//     error, when it has returned what was on its way, and Write fails once the
//     pipe takes in no more.
//   - When both ends are closed, nothing of the pipe is left: no goroutine, no
//     descriptor.
//
// The following is of use where there is it, and nothing that a Pipe must have:
//
//   - SetReadDeadline and SetWriteDeadline, as those of net.Conn. Where they
//     return nil they work: they end a call that is blocked, with an error
//     matching os.ErrDeadlineExceeded, and no byte is lost.
//   - CloseWrite half-closes: the other end reads what was written, then io.EOF,
//     and can go on writing.
type Pipe = io.ReadWriteCloser

// PipeConn makes a pipe what [Config.Dial] returns, and the Accept of what
// [Config.Listen] returns. One that is a [net.Conn] already is returned as it is.
// Otherwise the connection has no addresses (LocalAddr and RemoteAddr are nil),
// and only the deadlines that p has (the setters return [os.ErrNoDeadline] where
// it has none); the transport needs neither. It owns p.
func PipeConn(p Pipe) net.Conn {
	if nc, ok := p.(net.Conn); ok {
		return nc
	}
	return pipeConn{p}
}

// A pipeConn is a pipe as a net.Conn. The bounds on a handshake do without
// deadlines, by closing the pipe.
type pipeConn struct{ Pipe }

func (pipeConn) LocalAddr() net.Addr  { return nil }
func (pipeConn) RemoteAddr() net.Addr { return nil }

func (c pipeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c pipeConn) SetReadDeadline(t time.Time) error {
	if d, ok := c.Pipe.(interface{ SetReadDeadline(time.Time) error }); ok {
		return d.SetReadDeadline(t)
	}
	return os.ErrNoDeadline
}

func (c pipeConn) SetWriteDeadline(t time.Time) error {
	if d, ok := c.Pipe.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return d.SetWriteDeadline(t)
	}
	return os.ErrNoDeadline
}

// closeWrite half-closes a pipe where it can.
func closeWrite(p Pipe) error {
	if half, ok := p.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
