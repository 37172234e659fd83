package kith

import (
	"context"
	"errors"
)

// CallKey is the key under which whoever runs handlers puts an [Inbound] into
// their ctx. Handlers use [CallerFrom], [PeerFrom] and their like instead.
type CallKey struct{}

// Inbound is what the functions of this package that take a handler's ctx
// find there, under [CallKey].
type Inbound interface {
	// Call returns the call being served.
	Call() Call
	// Caller calls back over the connection that the call came by.
	Caller() Caller
	// SetTrailer replaces the metadata that goes with the outcome.
	SetTrailer(md Metadata) error
	// Draining is closed when the connection or the server begins to drain.
	Draining() <-chan struct{}
}

// errNoCall is returned where a ctx is not that of a handler.
var errNoCall = errors.New("not the ctx of a handler")

func inbound(ctx context.Context) Inbound {
	in, _ := ctx.Value(CallKey{}).(Inbound)
	return in
}

// CallerFrom returns a Caller that calls back the one that made the call, over
// the same connection. It may be used until the connection ends, also after
// the handler returned. If ctx is not that of a handler, its calls fail.
func CallerFrom(ctx context.Context) Caller {
	if in := inbound(ctx); in != nil {
		return in.Caller()
	}
	return noCaller{}
}

// PeerFrom returns who made the call that ctx belongs to, the zero Peer if ctx
// is not that of a handler. The result must not be changed.
func PeerFrom(ctx context.Context) Peer {
	if in := inbound(ctx); in != nil {
		if p := in.Call().Peer; p != nil {
			return *p
		}
	}
	return Peer{}
}

// MetadataFrom returns what the caller attached, nil if nothing. It must not
// be changed.
func MetadataFrom(ctx context.Context) Metadata {
	if in := inbound(ctx); in != nil {
		return in.Call().Metadata
	}
	return nil
}

// SetTrailer sends md with the outcome of the call that ctx belongs to; a
// later SetTrailer replaces it. It fails if md breaks a rule of [Metadata], or
// ctx is not that of a handler. A notification has no outcome to send it with.
func SetTrailer(ctx context.Context, md Metadata) error {
	if in := inbound(ctx); in != nil {
		return in.SetTrailer(md)
	}
	return errNoCall
}

// Draining returns a channel that is closed when the server (or this side of
// the connection) begins to drain: a handler that would go on for long should
// come to an end. It is nil, and so never ready, if ctx is not that of a handler.
func Draining(ctx context.Context) <-chan struct{} {
	if in := inbound(ctx); in != nil {
		return in.Draining()
	}
	return nil
}

type noCaller struct{}

func (noCaller) Invoke(context.Context, Request) ([]byte, error) { return nil, errNoCall }

func (noCaller) Open(context.Context, Request) (CallStream, error) { return nil, errNoCall }
