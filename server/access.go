package server

import (
	"context"
	"errors"
	"slices"

	"github.com/kith-go/kith"
)

// errDenied is what callers see that have no access, if nothing else was
// authored for them.
var errDenied = kith.NewError(kith.PermissionDenied, "no_access", "this peer may not call this method")

// Access lets calls through for which may returns nil. Any other call is
// refused before its handler runs, and is [kith.Unprocessed]: with the
// [*kith.Error] that may returned, or with [kith.PermissionDenied] for any
// other error. The peer is who the connection proved, the method what will run.
// May is called at once from any number of goroutines. It panics if may is nil.
func Access(may func(p kith.Peer, m *kith.Method) error) kith.Middleware {
	if may == nil {
		panic("server: Access with a nil function")
	}
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			if c.Peer == nil {
				return errDenied.Refusal()
			}
			err := may(*c.Peer, c.Method)
			if err == nil {
				return next(ctx, c)
			}
			told := errDenied
			var e *kith.Error
			if errors.As(err, &e) && !kith.Remote(e) {
				told = e
			}
			return told.Refusal()
		}
	}
}

// AccessIDs lets the given identities call. It panics if one is zero.
func AccessIDs(ids ...kith.ID) kith.Middleware {
	if slices.Contains(ids, kith.ID{}) {
		panic("server: AccessIDs with a zero id")
	}
	set := make(map[kith.ID]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return Access(func(p kith.Peer, _ *kith.Method) error {
		if _, ok := set[p.ID]; !ok {
			return errDenied
		}
		return nil
	})
}

// AccessGroup lets peers call that are in at least one of the named groups, by
// what admission said of them (kith.Peer.Groups).
func AccessGroup(names ...string) kith.Middleware {
	names = slices.Clone(names)
	return Access(func(p kith.Peer, _ *kith.Method) error {
		if !slices.ContainsFunc(p.Groups, func(g string) bool { return slices.Contains(names, g) }) {
			return errDenied
		}
		return nil
	})
}
