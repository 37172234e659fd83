package main

import "github.com/kith-go/kith"

// The contract that both sides share: ordinary Go values, nothing generated.

// A Greeting is what Greet answers.
type Greeting struct{ Text string }

// A Receipt says what arrived of a file.
type Receipt struct {
	Size   int64
	SHA256 string
}

var (
	greet  = kith.Unary[string, Greeting]("tour/Greet", kith.Idempotent())
	count  = kith.ServerStream[int, int]("tour/Count")
	sum    = kith.ClientStream[int, int]("tour/Sum")
	shout  = kith.Bidi[string, string]("tour/Shout")
	note   = kith.Notify[string]("tour/Note")
	upload = kith.ClientStream[[]byte, Receipt]("tour/Upload")
	whoami = kith.Unary[struct{}, string]("tour/WhoAmI")

	// askName is served by the client, and called by the server.
	askName = kith.Unary[struct{}, string]("tour/AskName")

	errUnknown = kith.NewError(kith.NotFound, "unknown_name", "nobody of that name")
)
