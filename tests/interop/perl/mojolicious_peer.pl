# libmojolicious-perl as the peer of `peer.ts`: sends every message back, compressed with a context that it keeps.

use Mojolicious::Lite -signatures;
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json);
use Mojo::Server::Daemon;
use Mojo::UserAgent;

$| = 1;
app->log->level('fatal');
my $orders = decode_json(pop @ARGV);

sub echo ($tx) {
  print 'open ', $tx->res->headers->header('Sec-WebSocket-Extensions') // '', "\n";
  $tx->on(text   => sub ($tx, $bytes) { $tx->send({text   => $bytes}) });
  $tx->on(binary => sub ($tx, $bytes) { $tx->send({binary => $bytes}) });
  $tx->on(finish => sub ($tx, $code, $reason = '') { print "closed $code\n" });
}

if ($orders->{role} eq 'server') {
  websocket '/' => sub ($c) {
    $c->tx->with_compression;
    $c->rendered(101);
    echo($c->tx);
  };
  my $listen = "https://127.0.0.1?cert=$orders->{cert}&key=$orders->{key}";
  my $daemon = Mojo::Server::Daemon->new(app => app, listen => [$listen], silent => 1);
  $daemon->start;
  print 'port ', $daemon->ports->[0], "\n";
  Mojo::IOLoop->start;
} else {
  my $ua = Mojo::UserAgent->new(ca => $orders->{ca});
  my $headers = {'Sec-WebSocket-Extensions' => 'permessage-deflate'};
  $ua->websocket($orders->{url} => $headers => sub ($ua, $tx) {
    die 'no WebSocket' unless $tx->is_websocket;
    echo($tx);
    $tx->on(finish => sub { Mojo::IOLoop->stop });
  });
  Mojo::IOLoop->start;
}
