package admit_test

// Two identities, and what a side presents that has the key goldenKey, on a
// connection whose binding happens to be the same bytes. docs/wire.md has them
// too.
const (
	goldenDialler  = "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oo3fqb"
	goldenAcceptor = "qe4xodvipulv6vvdkrtmgtd6ztfy3curwtxdpis56yhvxd6jwokpsqqb"
	goldenHello    = "076e6574776f726b2099d0e6b84cc45de2ac5f6da04d3eaab636a2a2789acb6956783a7a30d86a5dc3"
	goldenWelcome  = "076e6574776f726b20dafad96314841275336945d6ffa576f8eef28ba7fe02219ff97c4a077ab37b33"
)
