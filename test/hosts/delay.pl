#!/usr/bin/perl
# delay.pl QUEUE DELAY_MS JITTER_MS: holds each packet of a netfilter queue back for a while, then lets it pass.
# For kernels without sch_netem. Perl, because it can speak netlink without a library and every system with git has it.
use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($queue, $delay, $jitter) = ($ARGV[0], $ARGV[1] / 1000, $ARGV[2] / 1000);
use constant { AF_NETLINK => 16, SOCK_RAW => 3, NETLINK_NETFILTER => 12, QUEUE => 3 << 8 };
use constant { PACKET => 0, VERDICT => 1, CONFIG => 2 };

socket(my $socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) or die "cannot open a netlink socket: $!";
bind($socket, pack('S S L L', AF_NETLINK, 0, 0, 0)) or die "cannot bind the netlink socket: $!";
setsockopt($socket, 1, 33, pack('i', 8 << 20));    # SO_RCVBUFFORCE
setsockopt($socket, 270, 5, pack('i', 1));         # NETLINK_NO_ENOBUFS: an overflow loses packets, not the helper

sub attribute { my ($type, $bytes) = @_; return pack('S S', 4 + length $bytes, $type) . $bytes . "\0" x (-length($bytes) % 4) }

sub tell_kernel {
    my ($type, $payload) = @_;
    my $message = pack('L S S L L', 20 + length $payload, QUEUE | $type, 1, 0, 0) . pack('C C n', 0, 0, $queue) . $payload;
    defined send($socket, $message, 0) or die "cannot write to netlink: $!";
}

tell_kernel(CONFIG, attribute(1, pack('C C n', 1, 0, 0)));       # bind to the queue
tell_kernel(CONFIG, attribute(2, pack('N C', 0, 1)));            # no need for the packets' content
tell_kernel(CONFIG, attribute(3, pack('N', 65535)));             # how many may wait
$| = 1;
print "ready\n";

my @held;    # [when to let it pass, packet], the earliest first
while (1) {
    my $now = clock_gettime(CLOCK_MONOTONIC);
    while (@held && $held[0][0] <= $now) {
        tell_kernel(VERDICT, attribute(2, pack('N N', 1, (shift @held)->[1])));
    }
    my $readable = '';
    vec($readable, fileno($socket), 1) = 1;
    next unless select($readable, undef, undef, @held ? $held[0][0] - $now : undef) > 0;
    defined recv($socket, my $buffer, 1 << 20, 0) or next;
    for (my $at = 0; $at + 20 <= length $buffer;) {
        my ($length, $type) = unpack('L S', substr($buffer, $at, 6));
        last if $length < 20;
        hold(substr($buffer, $at + 20, $length - 20)) if $type == (QUEUE | PACKET);
        $at += ($length + 3) & ~3;
    }
}

sub hold {
    my ($attributes) = @_;
    for (my $at = 0; $at + 8 <= length $attributes;) {
        my ($length, $type) = unpack('S S', substr($attributes, $at, 4));
        last if $length < 4;
        if (($type & 0x3fff) == 1) {
            my $due = clock_gettime(CLOCK_MONOTONIC) + $delay + $jitter * (rand(2) - 1);
            my $place = @held;
            $place-- while $place > 0 && $held[$place - 1][0] > $due;
            splice(@held, $place, 0, [$due, unpack('N', substr($attributes, $at + 4, 4))]);
            return;
        }
        $at += ($length + 3) & ~3;
    }
}
