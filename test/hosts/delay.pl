#!/usr/bin/perl
# delay.pl FROM TO DELAY_MS JITTER_MS: a patch cable between two network interfaces of this network namespace.
# Frames from FROM reach TO after the delay; frames from TO reach FROM at once.
# For kernels without sch_netem. Perl, because it has raw sockets without a library and comes with every git.
use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($from, $to, $delay, $jitter) = ($ARGV[0], $ARGV[1], $ARGV[2] / 1000, $ARGV[3] / 1000);
use constant { AF_PACKET => 17, SOCK_RAW => 3, ETH_P_ALL => 3, SIOCGIFINDEX => 0x8933 };
use constant { SOL_SOCKET => 1, SO_RCVBUFFORCE => 33, SO_SNDBUFFORCE => 32 };
use constant { SOL_PACKET => 263, PACKET_VNET_HDR => 15, PACKET_IGNORE_OUTGOING => 23 };
use constant MSG_DONTWAIT => 0x40;

sub open_interface {
    my ($name) = @_;
    socket(my $socket, AF_PACKET, SOCK_RAW, 0) or die "cannot open a packet socket: $!\n";
    my $request = pack('a16 x24', $name);
    ioctl($socket, SIOCGIFINDEX, $request) or die "cannot find the interface $name: $!\n";
    my $index = unpack('x16 l', $request);
    # The header in front of each frame carries what hardware would do later: checksums and the cutting of large segments.
    for my $option (PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING) {
        setsockopt($socket, SOL_PACKET, $option, pack('i', 1)) or die "cannot prepare the packet socket: $!\n";
    }
    setsockopt($socket, SOL_SOCKET, $_, pack('i', 8 << 20)) for SO_RCVBUFFORCE, SO_SNDBUFFORCE;
    bind($socket, pack('S n l S C C a8', AF_PACKET, ETH_P_ALL, $index, 0, 0, 0, '')) or die "cannot bind to $name: $!\n";
    return $socket;
}

my ($in, $out) = (open_interface($from), open_interface($to));
$| = 1;
print "ready\n";

my @held;    # [when to pass it on, frame], the earliest first
while (1) {
    my $now = clock_gettime(CLOCK_MONOTONIC);
    # A frame that cannot be sent is lost, as on any cable.
    send($out, (shift @held)->[1], MSG_DONTWAIT) while @held && $held[0][0] <= $now;
    my $readable = '';
    vec($readable, fileno($_), 1) = 1 for $in, $out;
    next unless select($readable, undef, undef, @held ? $held[0][0] - $now : undef) > 0;
    if (vec($readable, fileno($out), 1) && defined recv($out, my $frame, 1 << 17, MSG_DONTWAIT)) {
        send($in, $frame, MSG_DONTWAIT);
    }
    if (vec($readable, fileno($in), 1) && defined recv($in, my $frame, 1 << 17, MSG_DONTWAIT)) {
        my $due = clock_gettime(CLOCK_MONOTONIC) + $delay + $jitter * (rand(2) - 1);
        my $place = @held;
        $place-- while $place > 0 && $held[$place - 1][0] > $due;
        splice(@held, $place, 0, [$due, $frame]);
    }
}
