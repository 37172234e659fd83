package admit_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
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

// Whoever has the key of the network is served, and calls nobody who has not.
func ExampleNetworkKey() {
	network := admit.NewNetworkKey() // once; every member gets it, see ExampleSecret_Save

	var h kith.Handlers
	greet := kith.Unary[string, string]("greet/Greet")
	greet.Handle(&h, func(_ context.Context, name string) (string, error) { return "hello " + name, nil })
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.NetworkKey(network)})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	tr := memory.New(memory.Config{}) // or tcp.New, quic.New
	defer tr.Close()
	l, err := tr.Listen(ctx, transport.Addr{Host: "here"})
	if err != nil {
		panic(err)
	}
	go srv.Serve(ctx, l)
	defer srv.Close()

	for _, key := range []admit.Secret{network, admit.NewNetworkKey()} {
		c, err := client.Dial(ctx, client.Config{
			Transport: tr, Addrs: []string{l.Addr().String()}, Admit: admit.NetworkKey(key),
		})
		if errors.Is(err, admit.ErrNetworkKey) {
			fmt.Println("not in this network")
			continue
		}
		fmt.Println(greet.Call(ctx, c, "Ada"))
		c.Close()
	}
	// Output:
	// hello Ada <nil>
	// not in this network
}

// One member makes the key, the others get its text over a safe way.
func ExampleSecret_Save() {
	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	made := admit.NewNetworkKey()
	text := made.Reveal() // kith_network_..., 69 characters

	got, err := admit.ParseNetworkKey(text)
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, "network.key")
	fmt.Println(got.Save(path)) // mode 0600
	loaded, err := admit.LoadNetworkKey(path)
	fmt.Println(loaded.Equal(made), err)

	_, err = admit.ParseNetworkKey(text[:40])
	fmt.Println(err)
	// Output:
	// <nil>
	// true <nil>
	// parse network key: 40 characters, want 69
}

// Who is pinned needs the key as well; either would do with Any.
func ExampleAll() {
	friend := kith.NewKey().ID()
	policy := admit.All(admit.Pins(friend), admit.NetworkKey(admit.NewNetworkKey()))

	_, err := policy.Admit(context.Background(), transport.Info{Peer: kith.NewKey().ID()}, nil)
	fmt.Println(err)
	// Output: PermissionDenied: not_admitted: this identity is not admitted here
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

// paired admits whoever has a secret of two, without saying it: what each side
// presents is bound to the connection and to the direction.
type paired struct{ secret []byte }

func (p paired) proof(info transport.Info, dialed bool) []byte {
	mac := hmac.New(sha256.New, p.secret)
	fmt.Fprintf(mac, "example proof|%t|", dialed)
	mac.Write(info.Binding[:])
	return mac.Sum(nil)
}

func (p paired) Present(_ context.Context, info transport.Info) ([]byte, error) {
	return admit.AppendProof(nil, "example-paired", p.proof(info, info.Dialed)), nil
}

func (p paired) Admit(_ context.Context, info transport.Info, presented []byte) (admit.Grant, error) {
	for proof := range admit.Proofs(presented, "example-paired") {
		if hmac.Equal(proof, p.proof(info, !info.Dialed)) {
			return admit.Grant{Groups: []string{"paired"}}, nil
		}
	}
	return admit.Grant{}, admit.ErrRefused
}

// A Policy of one's own can present a proof and judge the other side's.
func ExamplePolicy() {
	ctx := context.Background()
	var policy admit.Policy = paired{[]byte("from a random source, not a passphrase")}
	dialer := transport.Info{Dialed: true, Binding: [32]byte{1}} // both ends of one connection
	server := transport.Info{Binding: [32]byte{1}}

	proof, _ := policy.Present(ctx, dialer)
	grant, err := policy.Admit(ctx, server, proof)
	fmt.Println(grant.Groups, err)

	server.Binding = [32]byte{2} // a proof taken to another connection
	_, err = policy.Admit(ctx, server, proof)
	fmt.Println(err)
	// Output:
	// [paired] <nil>
	// PermissionDenied: not_admitted: this identity is not admitted here
}
