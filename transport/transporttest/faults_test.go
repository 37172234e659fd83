package transporttest

// A fault is one rule that the reference transport breaks.
type fault string

// noFault keeps all rules.
const noFault fault = ""

const (
	acceptIgnoresCtx         fault = "Listener.Accept ignores ctx"
	acceptLosesConn          fault = "Listener.Accept loses a connection when its ctx ends"
	acceptLosesStream        fault = "AcceptStream loses a stream when its ctx ends"
	acceptStreamIgnoresCtx   fault = "AcceptStream ignores ctx"
	acceptorHalfCloseEndsAll fault = "CloseWrite where accepted ends reading too"
	acceptsWrongPeer         fault = "Dial does not compare the ID"
	addrHasOtherID           fault = "Listener.Addr has an ID that is not the listener's"
	addrWithoutID            fault = "Listener.Addr has no ID"
	bigWindow                fault = "many streams together take more than MaxBuffered"
	bindingDiffers           fault = "each end has a binding of its own"
	bindingShared            fault = "all connections have one binding"
	causeLost                fault = "the cause of Context is not a ConnError"
	closeAgainFails          fault = "a second Close fails"
	closeDropsData           fault = "Close drops what the other side has not read"
	closeEndsAccepted        fault = "Listener.Close ends accepted connections"
	closeIsClean             fault = "Close before CloseWrite looks like an end"
	closeLeavesAccept        fault = "Listener.Close leaves Accept blocked"
	closeLeavesDial          fault = "Transport.Close leaves Dial blocked"
	closeLeavesRead          fault = "Close leaves Read blocked"
	closeLeavesUnaccepted    fault = "Listener.Close leaves connections that nobody accepts"
	closeLeavesWrite         fault = "Close leaves Write blocked"
	closeLeavesWriter        fault = "Close leaves the other side's Write blocked"
	closeSparesConns         fault = "Transport.Close spares connections"
	closeSparesStreams       fault = "CloseWithError leaves streams blocked"
	closeWaitsForReader      fault = "Close waits until the other side has read"
	closeWriteDropsCount     fault = "a Write that CloseWrite cuts short says that nothing was written"
	closeWriteWaits          fault = "CloseWrite waits for a Write that is blocked"
	codeLostUnderTraffic     fault = "CloseWithError loses its code when data is under way"
	connRemoteWrong          fault = "ConnError.Remote is false at the other end"
	corruptsLongStreams      fault = "one bit is wrong after the first MiB"
	corruptsManyStreams      fault = "data gets lost when many streams are open"
	crossedResetsHang        fault = "Resets by both sides cancel each other out"
	deadlineEarly            fault = "a read deadline comes early"
	deadlineForBoth          fault = "SetReadDeadline sets the write deadline too"
	deadlineKillsStream      fault = "a read deadline kills the stream"
	deadlineLosesData        fault = "a read deadline loses data"
	dialCtxEndsConn          fault = "the end of Dial's ctx ends the connection"
	dialHidesCtx             fault = "Dial's error does not match ctx.Err()"
	dialNobodyHangs          fault = "Dial hangs when nobody listens"
	dialsAfterClose          fault = "Dial works on a closed transport"
	dialsWithoutID           fault = "Dial takes an address without ID"
	dialedEverywhere         fault = "Info.Dialed is true at both ends"
	discardKeepsRoom         fault = "discarded data keeps its place in the connection's window"
	emptyWriteEnds           fault = "an empty Write half-closes"
	eofOnCut                 fault = "a cut link reads as io.EOF"
	eofOnTruncation          fault = "a closed connection reads as io.EOF"
	firstDeadlineStays       fault = "a deadline cannot be taken back"
	garbageHoldsUp           fault = "garbage blocks the listener"
	halfCloseEndsBoth        fault = "CloseWrite ends reading too"
	halfCloseUnseen          fault = "a half-close without data does not show the stream"
	keepsSlice               fault = "Write keeps its slice"
	keepsSliceIfBlocked      fault = "a Write that blocked keeps its slice"
	leaksConn                fault = "each connection leaves a goroutine behind"
	leaksFailedDial          fault = "each failed Dial leaves a goroutine behind"
	leaksStream              fault = "each stream leaves a goroutine behind"
	limitTooLow              fault = "fewer streams than the limit can be open"
	listenChecksID           fault = "Listen looks at the ID"
	listensAfterClose        fault = "Listen works on a closed transport"
	noStreamLimit            fault = "streams are not limited"
	localUnknown             fault = "an end does not say its own identity"
	noWindow                 fault = "Write never blocks"
	oneConnOnly              fault = "only one connection at a time"
	openFailsAtLimit         fault = "OpenStream fails at the limit"
	openIgnoresCtx           fault = "OpenStream ignores ctx at the limit"
	openerOnly               fault = "only the end that dialled can open streams"
	peerUnknown              fault = "the accepting end does not know its peer"
	readDeadlineUnseen       fault = "a blocked Read does not see a new deadline"
	readDeadlineWrong        fault = "a read deadline's error is not os.ErrDeadlineExceeded"
	reasonLost               fault = "the reason does not reach the other end"
	reasonNotCut             fault = "the reason is not cut"
	reportsFailedDial        fault = "Accept returns a connection whose dial failed"
	resetAfterCloseResets    fault = "Reset after Close resets"
	resetIgnoresHalfClosed   fault = "Reset does nothing after CloseWrite"
	resetKeepsSlot           fault = "a stream that was reset keeps its place"
	resetLeavesOwnRead       fault = "Reset leaves this side's Read blocked"
	resetLosesCode           fault = "Reset's code does not reach the other side"
	resetOnlyReads           fault = "Reset leaves the other side's Write blocked"
	resetRemoteWrong         fault = "StreamError.Remote is false at the other side"
	resetUnseen              fault = "a Reset without data does not show the stream"
	secondCloseFails         fault = "a second CloseWithError fails"
	silenceHoldsUp           fault = "a silent connection blocks the listener"
	silenceIgnoresCtx        fault = "Dial ignores ctx while nobody answers"
	smallWritesCostly        fault = "each small Write holds 4 KiB"
	stopKillsAnswer          fault = "Close with input unread loses what was written"
	unreadStallsOthers       fault = "one window for all streams"
	writeAfterHalfClose      fault = "Write after CloseWrite says that it worked"
	writeCountLost           fault = "Write at its deadline returns 0"
	writeDeadlineUnseen      fault = "a blocked Write does not see a new deadline"
	writeDeadlineWrong       fault = "a write deadline's error is not os.ErrDeadlineExceeded"
	writeLastStaysOpen       fault = "WriteLast does not half-close"
	writeUnseen              fault = "the first byte does not show the stream"
)

// caught lists, for each fault, cases that are meant to find it.
var caught = map[fault][]string{
	acceptIgnoresCtx:         {"Accept/HonoursCtx"},
	acceptLosesConn:          {"Accept/CtxLosesNoConn"},
	acceptLosesStream:        {"Accept/CtxLosesNoStream"},
	acceptStreamIgnoresCtx:   {"Accept/HonoursCtx"},
	acceptorHalfCloseEndsAll: {"Stream/HalfCloseAcceptorFirst"},
	acceptsWrongPeer:         {"Identity/WrongPeer"},
	addrHasOtherID:           {"Addr/RoundTrip"},
	addrWithoutID:            {"Addr/RoundTrip"},
	bigWindow:                {"Flow/ManyUnreadAreBounded"},
	bindingDiffers:           {"Identity/Binding"},
	bindingShared:            {"Identity/Binding"},
	causeLost:                {"ConnClose/CodeAndReason", "Transport/CloseEndsEverything"},
	closeAgainFails:          {"Close/IdempotentAndConcurrent"},
	closeDropsData:           {"Close/DeliversSmall", "Close/DeliversLarge"},
	closeEndsAccepted:        {"Accept/CloseSparesAccepted"},
	closeIsClean:             {"Close/BeforeCloseWriteResets", "Close/WithoutAnswerResets"},
	closeLeavesAccept:        {"Accept/CloseUnblocks", "Transport/CloseEndsEverything"},
	closeLeavesDial:          {"Transport/CloseEndsDial"},
	closeLeavesRead:          {"Close/UnblocksReadAndWrite"},
	closeLeavesUnaccepted:    {"Accept/CloseEndsUnaccepted"},
	closeLeavesWrite:         {"Close/UnblocksReadAndWrite", "Flow/BlockedWriteUnblocks"},
	closeLeavesWriter:        {"Close/StopsTheOtherWriter", "Flow/BlockedWriteUnblocks"},
	closeSparesConns:         {"Transport/CloseEndsEverything", "Transport/CloseOfTheDialler"},
	closeSparesStreams:       {"ConnClose/EndsEverything"},
	closeWaitsForReader:      {"Close/NotStuckBehindUnread"},
	closeWriteDropsCount:     {"Stream/CloseWriteDuringWrite"},
	closeWriteWaits:          {"Stream/CloseWriteDuringWrite"},
	codeLostUnderTraffic:     {"ConnClose/UnderTraffic"},
	connRemoteWrong:          {"ConnClose/CodeAndReason"},
	corruptsLongStreams:      {"Data/BothWaysAtOnce"},
	corruptsManyStreams:      {"Data/ManyStreams"},
	crossedResetsHang:        {"Reset/BothSidesAtOnce"},
	deadlineEarly:            {"Deadline/ReadFuture"},
	deadlineForBoth:          {"Deadline/OfOneSideOnly"},
	deadlineKillsStream:      {"Deadline/ReadPast", "Deadline/ReadFuture", "Deadline/ReadSetMeanwhile"},
	deadlineLosesData:        {"Deadline/ReadLosesNothing"},
	dialCtxEndsConn:          {"Dial/CtxEndsOnlyTheAttempt"},
	dialHidesCtx:             {"Dial/CtxEndedBefore", "Dial/CtxEndsDuring"},
	dialNobodyHangs:          {"Dial/Nobody"},
	dialsAfterClose:          {"Transport/UseAfterClose"},
	dialsWithoutID:           {"Identity/NoIdentity"},
	dialedEverywhere:         {"Addr/Info"},
	discardKeepsRoom:         {"Flow/DiscardedReturnsRoom"},
	emptyWriteEnds:           {"Stream/EmptyWrite"},
	eofOnCut:                 {"ConnClose/CutLinkIsNotEOF"},
	eofOnTruncation:          {"ConnClose/TruncationIsNotEOF"},
	firstDeadlineStays:       {"Deadline/ReadCleared"},
	garbageHoldsUp:           {"Garbage/HoldsNobodyUp"},
	halfCloseEndsBoth:        {"Stream/HalfCloseOpenerFirst"},
	halfCloseUnseen:          {"Stream/SeenOnHalfClose"},
	keepsSlice:               {"Data/BothWaysAtOnce", "Stream/WriteLast", "Deadline/WriteLosesNothing", "Flow/BlockedWriteUnblocks"},
	keepsSliceIfBlocked:      {"Deadline/WriteFuture", "Flow/BlockedWriteUnblocks"},
	leaksConn:                {"Leak/Conns"},
	leaksFailedDial:          {"Leak/FailedDials"},
	leaksStream:              {"Leak/Streams"},
	limitTooLow:              {"Data/ThousandStreamsOpen"},
	listenChecksID:           {"Addr/ListenIgnoresID"},
	listensAfterClose:        {"Transport/UseAfterClose"},
	noStreamLimit:            {"Limit/OpenStreamHonoursCtx"},
	localUnknown:             {"Identity/BothEnds"},
	noWindow:                 {"Flow/UnreadIsBounded", "Deadline/WriteFuture"},
	oneConnOnly:              {"Dial/ManyAtOnce"},
	openFailsAtLimit:         {"Limit/OpenStreamHonoursCtx", "Limit/OpenStreamWaits"},
	openIgnoresCtx:           {"Limit/OpenStreamHonoursCtx"},
	openerOnly:               {"Stream/SeenOnFirstByte", "Stream/OpenedByBothAtOnce"},
	peerUnknown:              {"Identity/BothEnds"},
	readDeadlineUnseen:       {"Deadline/ReadSetMeanwhile"},
	readDeadlineWrong:        {"Deadline/ReadPast"},
	reasonLost:               {"ConnClose/CodeAndReason", "ConnClose/FirstCallDecides"},
	reasonNotCut:             {"ConnClose/ReasonIsCut"},
	reportsFailedDial:        {"Identity/WrongPeer"},
	resetAfterCloseResets:    {"Reset/AfterCloseDoesNothing"},
	resetIgnoresHalfClosed:   {"Reset/AfterHalfClose"},
	resetKeepsSlot:           {"Limit/FinishedGivesBack"},
	resetLeavesOwnRead:       {"Reset/EndsOwnSide"},
	resetLosesCode:           {"Reset/CodeReachesBothDirections", "Stream/SeenOnReset"},
	resetOnlyReads:           {"Reset/UnblocksTheOtherSide", "Flow/BlockedWriteUnblocks"},
	resetRemoteWrong:         {"Reset/CodeReachesBothDirections"},
	resetUnseen:              {"Stream/SeenOnReset"},
	secondCloseFails:         {"ConnClose/FirstCallDecides", "ConnClose/BothEndsAtOnce"},
	silenceHoldsUp:           {"Garbage/SilenceHoldsNobodyUp"},
	silenceIgnoresCtx:        {"Dial/CtxEndsWhileNobodyAnswers"},
	smallWritesCostly:        {"Flow/SmallWritesAreBounded"},
	stopKillsAnswer:          {"Stream/AnswerBeforeRequestEnds", "Close/DeliversToWhoStillWrites"},
	unreadStallsOthers:       {"Flow/UnreadStallsNoOther"},
	writeAfterHalfClose:      {"Stream/WriteAfterCloseWrite"},
	writeCountLost:           {"Deadline/WriteLosesNothing"},
	writeDeadlineUnseen:      {"Deadline/WriteSetMeanwhile", "Flow/BlockedWriteUnblocks"},
	writeDeadlineWrong:       {"Deadline/WriteFuture"},
	writeLastStaysOpen:       {"Stream/WriteLast"},
	writeUnseen:              {"Stream/SeenOnFirstByte"},
}
