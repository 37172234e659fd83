package admit_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

func ExamplePins() {
	friend, stranger := kith.NewKey().ID(), kith.NewKey().ID()
	policy := admit.Pins(friend)

	_, err := policy.Admit(context.Background(), transport.Info{Peer: friend}, nil)
	fmt.Println(err)
	_, err = policy.Admit(context.Background(), transport.Info{Peer: stranger}, nil)
	fmt.Println(err)
	// Output:
	// <nil>
	// PermissionDenied: not_admitted: this identity is not admitted here
}

func ExampleAnyone() {
	_, err := admit.Anyone().Admit(context.Background(), transport.Info{}, nil)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleVerified() {
	_, err := admit.Verified().Admit(context.Background(), transport.Info{}, nil)
	fmt.Println(err)
	// Output: Unauthenticated: no_certificate: no certificate that a CA of this side signed
}

// A Func judges by what the connection proved.
func ExampleFunc() {
	admin := kith.NewKey().ID()
	policy := admit.Func(func(info transport.Info) (admit.Grant, error) {
		if info.Peer == admin {
			return admit.Grant{Name: "admin", Groups: []string{"ops"}}, nil
		}
		return admit.Grant{Name: "guest"}, nil
	})
	grant, _ := policy.Admit(context.Background(), transport.Info{Peer: admin}, nil)
	fmt.Println(grant.Name, grant.Groups)
	// Output: admin [ops]
}

// shared admits whoever knows a secret, without saying it: what each side
// presents is bound to the connection and to the direction.
type shared struct{ secret []byte }

func (s shared) proof(info transport.Info, dialed bool) []byte {
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "example proof|%t|", dialed)
	mac.Write(info.Binding[:])
	return mac.Sum(nil)
}

func (s shared) Present(_ context.Context, info transport.Info) ([]byte, error) {
	return s.proof(info, info.Dialed), nil
}

func (s shared) Admit(_ context.Context, info transport.Info, presented []byte) (admit.Grant, error) {
	if !hmac.Equal(presented, s.proof(info, !info.Dialed)) {
		return admit.Grant{}, admit.ErrRefused
	}
	return admit.Grant{Groups: []string{"members"}}, nil
}

// A Policy of one's own can present a proof and judge the other side's.
func ExamplePolicy() {
	ctx := context.Background()
	var policy admit.Policy = shared{[]byte("from a random source, not a passphrase")}
	dialer := transport.Info{Dialed: true, Binding: [32]byte{1}} // both ends of one connection
	server := transport.Info{Binding: [32]byte{1}}

	proof, _ := policy.Present(ctx, dialer)
	grant, err := policy.Admit(ctx, server, proof)
	fmt.Println(grant.Groups, err)

	server.Binding = [32]byte{2} // a proof taken to another connection
	_, err = policy.Admit(ctx, server, proof)
	fmt.Println(err)
	// Output:
	// [members] <nil>
	// PermissionDenied: not_admitted: this identity is not admitted here
}
