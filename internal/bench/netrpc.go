package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/rpc"
)

// net/rpc, with its own encoding and with one that carries bytes as they are. It knows
// no contexts: a caller whose ctx ends leaves, and the call goes on.
var (
	netrpcGob = system{
		name: "netrpc-gob", what: "net/rpc, its own gob encoding",
		serve: func(addr string) (server, error) {
			return rawServe(addr, nil, func(c io.ReadWriter) error {
				rpcServer().ServeConn(c.(net.Conn))
				return nil
			})
		},
		dial: func(ctx context.Context, addr string) (client, error) {
			c, err := rawDial(ctx, addr, nil)
			if err != nil {
				return nil, err
			}
			return &rpcClient{rpc.NewClient(c)}, nil
		},
	}
	netrpcRaw = system{
		name: "netrpc-raw", what: "net/rpc, raw bytes",
		serve: func(addr string) (server, error) {
			return rawServe(addr, nil, func(c io.ReadWriter) error {
				rpcServer().ServeCodec(&rpcRawServer{newRPCRaw(c.(net.Conn))})
				return nil
			})
		},
		dial: func(ctx context.Context, addr string) (client, error) {
			c, err := rawDial(ctx, addr, nil)
			if err != nil {
				return nil, err
			}
			return rawOnly{&rpcClient{rpc.NewClientWithCodec(&rpcRawClient{newRPCRaw(c)})}}, nil
		},
	}
)

// An RPCItem is an item: net/rpc takes exported types only.
type RPCItem item

// rpcService is what net/rpc serves.
type rpcService struct{}

// Echo answers with the request's bytes.
func (rpcService) Echo(in []byte, out *[]byte) error {
	*out = in
	return nil
}

// Item answers with the request's values.
func (rpcService) Item(in RPCItem, out *RPCItem) error {
	*out = in
	return nil
}

// rpcServer is made once per connection, which costs less than what it is compared to
// by far, and needs no state of its own here.
func rpcServer() *rpc.Server {
	s := rpc.NewServer()
	if err := s.RegisterName("bench", rpcService{}); err != nil {
		panic(err) // rpcService is wrong
	}
	return s
}

// An rpcClient makes calls that end with their ctx.
type rpcClient struct{ c *rpc.Client }

func (r *rpcClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	var out []byte
	err := r.call(ctx, "bench.Echo", req, &out)
	return out, err
}

func (r *rpcClient) CallTyped(ctx context.Context, in *item) (*item, error) {
	out := new(item)
	err := r.call(ctx, "bench.Item", (*RPCItem)(in), (*RPCItem)(out))
	return out, err
}

func (r *rpcClient) call(ctx context.Context, method string, in, out any) error {
	call := r.c.Go(method, in, out, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return call.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *rpcClient) Close() error { return r.c.Close() }

// rawOnly hides CallTyped, which needs gob.
type rawOnly struct{ client }

// An rpcRaw reads and writes messages of a sequence number, a length and bytes.
type rpcRaw struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	head [12]byte // of the message being read; its body has not been taken
	out  [12]byte // of the message being written; calls come one at a time
}

func newRPCRaw(c net.Conn) *rpcRaw {
	return &rpcRaw{conn: c, r: bufio.NewReader(c), w: bufio.NewWriter(c)}
}

func (c *rpcRaw) readHead() (uint64, error) {
	_, err := io.ReadFull(c.r, c.head[:])
	return binary.BigEndian.Uint64(c.head[:]), err
}

// readBody reads into a fresh slice, or drops the body if p is nil.
func (c *rpcRaw) readBody(p *[]byte) error {
	n := int(binary.BigEndian.Uint32(c.head[8:]))
	if n > maxPayload {
		return fmt.Errorf("a message of %d bytes", n)
	}
	if p == nil {
		_, err := c.r.Discard(n)
		return err
	}
	*p = make([]byte, n)
	_, err := io.ReadFull(c.r, *p)
	return err
}

func (c *rpcRaw) write(seq uint64, p []byte) error {
	binary.BigEndian.PutUint64(c.out[:], seq)
	binary.BigEndian.PutUint32(c.out[8:], uint32(len(p)))
	if _, err := c.w.Write(c.out[:]); err != nil {
		return err
	}
	if _, err := c.w.Write(p); err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *rpcRaw) Close() error { return c.conn.Close() }

// An rpcRawServer is the serving end.
type rpcRawServer struct{ *rpcRaw }

func (c *rpcRawServer) ReadRequestHeader(r *rpc.Request) (err error) {
	r.ServiceMethod = "bench.Echo"
	r.Seq, err = c.readHead()
	return err
}

func (c *rpcRawServer) ReadRequestBody(body any) error {
	p, _ := body.(*[]byte)
	return c.readBody(p)
}

func (c *rpcRawServer) WriteResponse(r *rpc.Response, body any) error {
	p, ok := body.(*[]byte)
	if !ok || r.Error != "" {
		return fmt.Errorf("an answer that is no bytes: %s", r.Error)
	}
	return c.write(r.Seq, *p)
}

// An rpcRawClient is the calling end.
type rpcRawClient struct{ *rpcRaw }

func (c *rpcRawClient) WriteRequest(r *rpc.Request, body any) error {
	return c.write(r.Seq, body.([]byte))
}

func (c *rpcRawClient) ReadResponseHeader(r *rpc.Response) (err error) {
	r.Seq, err = c.readHead()
	return err
}

func (c *rpcRawClient) ReadResponseBody(body any) error {
	p, _ := body.(*[]byte)
	return c.readBody(p)
}
