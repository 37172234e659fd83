package transporttest

import (
	"context"

	"github.com/kith-go/kith/transport"
)

// A oneByteConn is a Conn whose streams are read one byte at a time.
type oneByteConn struct{ transport.Conn }

func (c oneByteConn) OpenStream(ctx context.Context) (transport.Stream, error) {
	return oneByte(c.Conn.OpenStream(ctx))
}

func (c oneByteConn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	return oneByte(c.Conn.AcceptStream(ctx))
}

func oneByte(s transport.Stream, err error) (transport.Stream, error) {
	if s != nil {
		s = oneByteStream{s}
	}
	return s, err
}

type oneByteStream struct{ transport.Stream }

func (s oneByteStream) Read(p []byte) (int, error) {
	return s.Stream.Read(p[:min(len(p), 1)])
}

// WriteLast keeps the inner stream a [transport.LastWriter].
func (s oneByteStream) WriteLast(p []byte) error { return transport.WriteLast(s.Stream, p) }
