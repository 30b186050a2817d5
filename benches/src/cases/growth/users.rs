//! Calls of one user, against the number of all users. Each user owns a room.

use anyhow::Result;
use grpcchatter_proto::v1::{
    ChatRoom, JoinChatRoomRequest, JoinChatRoomResponse, ListChatRoomsRequest, ListChatRoomsResponse,
};

use super::{Population, Setup, scattered};
use crate::curve::Curve;

const SIZES: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];

pub(super) async fn run(setup: &mut Setup<'_>) -> Result<Vec<Curve>> {
    let mut join = Curve::new("users-join", "CPU µs a JoinChatRoom", "users");
    let mut list = Curve::new("users-list", "CPU µs a ListChatRooms", "users");
    for users in setup.scale.sizes(&SIZES) {
        setup.population.grow(users).await?;
        let population = &setup.population;
        let server = setup.start().await?;
        let connection = server.connect().await?;
        let cost = server.cost(async |nth| {
            let user = scattered(nth, users);
            let token = population.user_token(user);
            let room = JoinChatRoomRequest { short_code: Population::code(user), ..Default::default() };
            let path = "/grpcchatter.v1.ChatService/JoinChatRoom";
            connection.unary::<JoinChatRoomResponse>(path, Some(&token), &room).await?;
            Ok(())
        });
        join.add(users, cost.await?);
        let cost = server.cost(async |nth| {
            let token = population.user_token(scattered(nth, users));
            let path = "/grpcchatter.v1.ChatService/ListChatRooms";
            let rooms: ListChatRoomsResponse =
                connection.unary(path, Some(&token), &ListChatRoomsRequest::default()).await?;
            anyhow::ensure!(matches!(rooms.rooms[..], [ChatRoom { .. }]), "a user has one room: {rooms:?}");
            Ok(())
        });
        list.add(users, cost.await?);
        server.process.stop().await?;
    }
    Ok(vec![join, list])
}
